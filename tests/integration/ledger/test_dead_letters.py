"""What an operator may do, from the words typed to the message sent."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from fluxora_tasks.deadletter.envelope import Kind, Payload
from fluxora_tasks.errors import ConfigurationError, LedgerUnavailable, RefusedError, UnknownDeadLetter
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.context import open_dead_letters
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.records import Actor, DeadLetterDetail
from fluxora_tasks.settings import Settings
from tests.integration.ledger.brokers import declare, take
from tests.integration.ledger.conftest import HeldClock
from tests.letters import letter, moment, success

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")


def no_broker() -> Connection:
    """For operations that must not need one."""
    raise AssertionError("nobody should connect")


@pytest.fixture
def operations(desk: Ledger) -> DeadLetters:
    """Operations that never connect."""
    return DeadLetters(desk, no_broker)


def detail_of(desk: Ledger, operations: DeadLetters, payload: Payload) -> DeadLetterDetail:
    """A record with this message, as shown."""
    note = letter(payload=payload)
    desk.ingest([note])
    return operations.get(note.dead_id)


# ---------------------------------------------------------------------------------------------------- look


def test_a_list_has_public_fields(desk: Ledger, operations: DeadLetters) -> None:
    """A row says what died, why, how often and when."""
    note = letter(at=5, first_failed_at=moment(1))
    desk.ingest([note])

    page = operations.list("status:PENDING")

    (item,) = page.items
    assert (item.id, item.status, item.kind, item.task, item.task_id, item.queue) == (
        note.dead_id,
        *("PENDING", "retries_exhausted", "demand.ingest", "m1", "demand"),
    )
    assert (item.exception_type, item.message, item.attempts, item.replays, item.group) == (
        *("builtins.ValueError", "failure r1"),
        *(4, 0, None),
    )
    assert (item.first_failed_at, item.last_failed_at, item.size) == (moment(1), moment(5), len(note.payload.body))
    assert (page.total, page.next) == (1, None)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_is_bounded(operations: DeadLetters, limit: int) -> None:
    """A page that would be endless or empty is refused."""
    with pytest.raises(ConfigurationError, match="limit"):
        operations.list(limit=limit)


def test_a_record_is_found_by_its_beginning(desk: Ledger, operations: DeadLetters) -> None:
    """Four characters suffice if they are unique; otherwise it says what is wrong."""
    desk.ingest([letter("m1", dead_id="abcd1-x"), letter("m2", dead_id="abcd2-x")])

    assert operations.get("abcd1").summary.id == "abcd1-x"
    with pytest.raises(RefusedError, match="several"):
        operations.get("abcd")
    with pytest.raises(RefusedError, match="too short"):
        operations.get("abc")
    with pytest.raises(UnknownDeadLetter):
        operations.get("ffff")
    with pytest.raises(UnknownDeadLetter):
        operations.get("\x00%*'\udce9")


def test_arguments_are_those_of_the_task(desk: Ledger, operations: DeadLetters) -> None:
    """A JSON body of Celery's shape shows its arguments."""
    body = json.dumps([["é", {"deep": [1, None]}], {"day": "2000-06-05"}, {"chain": None}]).encode()

    detail = detail_of(desk, operations, Payload(body, "application/json", "utf-8"))

    assert (detail.args, detail.kwargs, detail.body_note) == (
        ["é", {"deep": [1, None]}],
        {"day": "2000-06-05"},
        None,
    )


class Bomb:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("body", "content_type", "note"),
    [
        (pickle.dumps(Bomb()), "application/x-python-serialize", "bytes of application/x-python-serialize, not loaded"),
        (b"x", "application/x-yaml", "1 bytes of application/x-yaml, not loaded"),
        (b"x", None, "1 bytes of unknown type, not loaded"),
        (b"not json", "application/json", "not the arguments of a task"),
        (b"\xff\xfe", "application/json", "not the arguments of a task"),
        (b'{"task": "old protocol"}', "application/json", "not the arguments of a task"),
        (b"[1, 2, 3]", "application/json", "not the arguments of a task"),
        (b"5", "application/json", "not the arguments of a task"),
        (b"[" * 100_000, "application/json", "not the arguments of a task"),
        (b'[["' + b"x" * 1024 * 1024 + b'"], {}, {}]', "application/json", "too long to show"),
    ],
)
def test_other_bodies_are_described(
    desk: Ledger, operations: DeadLetters, body: bytes, content_type: str | None, note: str
) -> None:
    """What is not plainly arguments is never loaded; its size and type are said."""
    detail = detail_of(desk, operations, Payload(body, content_type))

    assert (detail.args, detail.kwargs) == (None, None)
    assert detail.body_note is not None
    assert note in detail.body_note


def test_what_is_shown_can_be_printed(desk: Ledger, operations: DeadLetters) -> None:
    """Lone surrogates and numbers that JSON has not are made visible, in arguments and headers."""
    body = b'[["\\ud800", NaN, -Infinity], {"\\udfff": 1}, {}]'

    detail = detail_of(desk, operations, Payload(body, "application/json", "utf-8", {"h": "\udce9", "n": float("nan")}))

    assert (detail.args, detail.kwargs) == (["\\ud800", "nan", "-inf"], {"\\udfff": 1})
    assert detail.headers == {"h": "\\udce9", "n": "nan"}


def test_a_history_is_the_whole_story(desk: Ledger, clock: HeldClock, vhost_url: str) -> None:
    """Failures, replays and the end stand in order, with who and why."""
    declare(vhost_url)
    operations = DeadLetters(desk, lambda: Connection(vhost_url))
    note = letter(at=0)
    desk.ingest([note])
    operations.replay([note.dead_id], ADA)
    clock.advance(5)
    desk.ingest([letter(run="r2", replay_no=1, at=1003, exception_type="KeyError", message="x\nsecond line")])
    clock.advance(5)
    operations.replay([note.dead_id], Actor("bob", "now really", "flower"))
    clock.advance(5)
    desk.ingest([success(note, 2)])

    history = operations.get(note.dead_id).history

    assert [(entry.event, entry.actor, entry.replay_no) for entry in history] == [
        ("failed", "worker", 0),
        ("replayed", "ada", 1),
        ("failed", "worker", 1),
        ("replayed", "bob", 2),
        ("resolved", "system", 2),
    ]
    assert history[0].detail == "builtins.ValueError: failure r1 (after 4 attempts) on w1@desk"
    assert history[1].detail == "cause fixed"
    assert history[2].detail.startswith("KeyError: x (after")
    assert "replay 2 succeeded on w1@desk" in history[4].detail


def test_a_long_history_says_what_it_left_out(desk: Ledger, operations: DeadLetters) -> None:
    """Failures in the middle of a long story are counted, in their place."""
    notes = [letter(run=f"r{number:03}", at=number) for number in range(60)]
    desk.ingest(notes)

    history = operations.get(notes[0].dead_id).history

    assert [entry.event for entry in history] == ["failed"] * 5 + ["omitted"] + ["failed"] * 20
    assert history[5].detail.startswith("35 more failures")


# ------------------------------------------------------------------------------------------------------ act


def test_a_replay_arrives(desk: Ledger, broker_url: str) -> None:
    """A replay sends the bytes received and leaves the record retrying."""
    declare(broker_url)
    note = letter()
    desk.ingest([note])
    operations = DeadLetters(desk, lambda: Connection(broker_url))

    (result,) = operations.replay([note.dead_id], ADA)

    assert (result.id, result.outcome, result.status) == (note.dead_id, "done", "RETRYING")
    assert result.detail == "replay 1 to demand"
    (message,) = take(broker_url)
    body = message.body.encode() if isinstance(message.body, str) else message.body
    assert body == note.payload.body
    (again,) = operations.replay([note.dead_id], ADA)
    assert again.outcome == "conflict"
    assert "already replaying by ada since" in again.detail


def test_every_id_is_answered_once(desk: Ledger, operations: DeadLetters) -> None:
    """Beginnings, doubles and strangers are each answered, in the order given."""
    desk.ingest([letter("m1", dead_id="abcd1-x"), letter("m2", dead_id="abcd2-x")])

    results = operations.discard(["nobody", "abcd2", "abcd2-x", "abcd", "ab", "abcd1-x"], ADA)

    assert [(result.id, result.outcome) for result in results] == [
        ("nobody", "unknown"),
        ("abcd2-x", "done"),
        ("abcd", "refused"),
        ("ab", "refused"),
        ("abcd1-x", "done"),
    ]


@pytest.mark.parametrize("actor", [Actor("ada", ""), Actor("ada", "  "), Actor("", "x")])
def test_an_action_has_a_name_and_a_reason(operations: DeadLetters, actor: Actor) -> None:
    """Who and why stand in the audit, so they must be given."""
    for act in (operations.replay, operations.resolve, operations.discard):
        with pytest.raises(ConfigurationError, match="reason"):
            act(["x"], actor)


def test_many_at_once(desk: Ledger, store_url: str) -> None:
    """Any number of records is taken, in chunks."""
    notes = [letter(f"m{number}", at=number) for number in range(260)]
    desk.ingest(notes)
    operations = DeadLetters(desk, lambda: Connection(store_url))

    ids = operations.select("task:demand.*")
    results = operations.replay(ids, ADA)

    assert ids == [note.dead_id for note in notes]
    assert [result.outcome for result in results] == ["done"] * 260
    assert [message.headers["id"] for message in take(store_url)] == [note.task_id for note in notes]


def test_a_selection_is_only_what_waits(desk: Ledger, operations: DeadLetters) -> None:
    """A filter for an action means pending records; others have to be named by status."""
    waiting, poison = letter("m1"), letter("m2", kind=Kind.POISON_SUSPECT)
    desk.ingest([waiting, poison])

    assert operations.select("") == [waiting.dead_id]
    assert operations.select("status:FAILED") == [poison.dead_id]


def test_a_missing_queue_is_refused(desk: Ledger, vhost_url: str) -> None:
    """A replay to a queue that does not exist is refused with what to do, and the record is as before."""
    note = letter(queue="nowhere")
    desk.ingest([note])
    operations = DeadLetters(desk, lambda: Connection(vhost_url))

    (result,) = operations.replay([note.dead_id], ADA)

    assert (result.outcome, result.status) == ("refused", "PENDING")
    assert "'nowhere' does not exist; start a worker" in result.detail
    assert [entry.event for entry in operations.get(note.dead_id).history] == ["failed", "replayed", "publish_failed"]


def test_a_broker_that_is_away_fails_the_action(desk: Ledger) -> None:
    """A replay without a broker fails with what to do, and the record is as before."""
    note = letter()
    desk.ingest([note])
    operations = DeadLetters(desk, lambda: Connection("redis://127.0.0.1:1/0"))

    (result,) = operations.replay([note.dead_id], ADA)

    assert (result.outcome, result.status) == ("failed", "PENDING")
    assert "start it, then replay again" in result.detail


def test_the_last_replay_before_quarantine_says_so(desk: Ledger, store_url: str) -> None:
    """Who sends the last allowed replay is told what its failure means."""
    note = letter()
    desk.ingest([note])
    operations = DeadLetters(desk, lambda: Connection(store_url), replay_cap=1)

    (result,) = operations.replay([note.dead_id], ADA)

    assert "quarantined" in result.detail


def _replay_in_child(ledger_url: str, broker_url: str, dead_id: str, name: str, start: Any, answers: Any) -> None:
    operations = DeadLetters(Ledger(open_engine(ledger_url)), lambda: Connection(broker_url))
    start.wait()
    for number in range(16):
        answers.put([result.outcome for result in operations.replay([dead_id], Actor(f"{name}{number}", "now"))])


def test_many_processes_replay_one_record(ledger_url: str, vhost_url: str) -> None:
    """Replays of one record from several processes at once send one message; all others are told."""
    declare(vhost_url)
    engine = open_engine(ledger_url)
    upgrade(engine)
    note = letter()
    Ledger(engine).ingest([note])
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    children = [
        context.Process(
            target=_replay_in_child, args=(ledger_url, vhost_url, note.dead_id, f"user{number}-", start, answers)
        )
        for number in range(3)
    ]
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in range(48)]
    for child in children:
        child.join()

    assert Counter(outcome for outcomes in found for outcome in outcomes) == {"done": 1, "conflict": 47}
    assert len(take(vhost_url)) == 1


# -------------------------------------------------------------------------------------------------- context


def test_it_opens_from_settings(tmp_path: Path) -> None:
    """Settings lead to the ledger; one that is not there yet says who makes it."""
    settings = Settings(state_dir=tmp_path)
    with pytest.raises(LedgerUnavailable, match="start the recorder"):
        open_dead_letters(settings, no_broker)
    upgrade(open_engine(settings.effective_ledger_url))

    assert open_dead_letters(settings, no_broker).list().total == 0
