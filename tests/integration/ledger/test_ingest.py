"""Notes become records: once, whatever the order, and nothing is lost on the way."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Payload, View
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.ledger import early
from fluxora_tasks.ledger.database import open_engine, upgrade, writing
from fluxora_tasks.ledger.fold import new_record
from fluxora_tasks.ledger.models import AuditEventRow, DeadAttemptRow, DeadLetterRow, EarlySuccessRow, FailedImportRow
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.reading import counted, outcome, record, recounted, rows
from tests.letters import BODY, letter, moment, success

pytestmark = pytest.mark.integration

ACTOR = Actor("ada", "test")


def statuses(engine: Engine) -> list[str]:
    """Status of every record."""
    return [row["status"] for row in rows(engine, DeadLetterRow)]


def test_a_failure_becomes_a_record(ledger: Ledger, engine: Engine) -> None:
    """A first failure makes one record with its message as received, and one line in the audit."""
    note = letter()

    report = ledger.ingest([note])

    assert (report.recorded, report.failures) == (1, 1)
    row = record(engine, note.dead_id)
    assert (row["status"], row["kind"], row["body"], row["attempts"]) == ("PENDING", "retries_exhausted", BODY, 4)
    assert row["last_failed_at"] == note.failed_at
    (event,) = rows(engine, AuditEventRow)
    assert (event["from_status"], event["to_status"], event["actor"]) == (None, "PENDING", "worker")


def test_the_same_note_twice_changes_nothing(ledger: Ledger, engine: Engine) -> None:
    """A note delivered again, in the same batch or later, leaves every row as it is."""
    note = letter()
    ledger.ingest([note, note])
    before = outcome(engine, note.dead_id)

    report = ledger.ingest([note])

    assert (report.recorded, report.failures) == (0, 0)
    assert outcome(engine, note.dead_id) == before
    assert len(rows(engine, AuditEventRow)) == 1


def test_what_is_shown_and_what_is_kept(ledger: Ledger, engine: Engine) -> None:
    """The newest failure is shown and the first one's message kept, whichever note comes first."""
    first = letter(run="r1", at=0, message="first")
    newest = letter(run="r2", at=5, message="newest", payload=Payload(b"other", "text/plain"))

    ledger.ingest([newest])
    ledger.ingest([first])

    row = record(engine, first.dead_id)
    assert (row["message"], row["body"], row["failures"], row["attempts"]) == ("newest", BODY, 2, 8)
    assert (row["first_failed_at"], row["last_failed_at"]) == (moment(0), moment(5))


def test_bytes_are_kept_exactly(ledger: Ledger) -> None:
    """Every byte of a body comes back, and every header."""
    body = bytes(range(256)) * 40
    headers = {"text": "é\x00\udce9", "deep": {"list": [1, None, 2.5, "x"]}, "big": 2**40}
    note = letter(payload=Payload(body, "application/x-python-serialize", "binary", headers, {"priority": 0}))

    ledger.ingest([note])

    story = ledger.story(note.dead_id)
    assert story is not None
    assert story.payload == note.payload


def test_hostile_texts_are_shown_escaped(ledger: Ledger, engine: Engine) -> None:
    """NUL and lone surrogates in texts do no harm on either database."""
    note = letter(message="a\x00b\udce9", task="t\x00", exception_type="\ud800", traceback="\x00" * 3, worker="\x00")

    assert ledger.ingest([note]).parked == 0

    row = record(engine, note.dead_id)
    assert (row["message"], row["task"], row["exception_type"]) == ("a\\x00b\\udce9", "t\\x00", "\\ud800")


def test_times_keep_their_microseconds(ledger: Ledger, engine: Engine) -> None:
    """A time comes back aware, in UTC, to the microsecond."""
    note = letter(failed_at=moment(0) + timedelta(microseconds=7))
    ledger.ingest([note])

    stored = record(engine, note.dead_id)["last_failed_at"]

    assert stored == note.failed_at
    assert stored.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"kind": Kind.REVOKED}, "DISCARDED"),
        ({"kind": Kind.POISON_SUSPECT}, "FAILED"),
        ({"kind": Kind.CONTENT_REFUSED, "payload": Payload(b"", "application/x-python-serialize")}, "FAILED"),
        ({"kind": Kind.EXPIRED}, "PENDING"),
    ],
)
def test_kinds_that_do_not_wait(ledger: Ledger, engine: Engine, changes: dict[str, Any], status: str) -> None:
    """What somebody meant is discarded at once, what is dangerous is quarantined."""
    ledger.ingest([letter(**changes)])

    assert statuses(engine) == [status]


def claimed(ledger: Ledger, note: DeadLetter) -> None:
    """Make the record of a letter, and take a replay of it."""
    ledger.ingest([note])
    assert [verdict.outcome for verdict in ledger.claim([note.dead_id], ACTOR)] == ["done"]


def test_a_success_resolves(ledger: Ledger, engine: Engine) -> None:
    """A replay that succeeded ends the story, with the system in the audit."""
    note = letter()
    claimed(ledger, note)

    assert ledger.ingest([success(note, 1)]).resolved == 1

    row = record(engine, note.dead_id)
    assert (row["status"], row["conflict"], row["replays"]) == ("RESOLVED", False, 1)
    last = rows(engine, AuditEventRow)[-1]
    assert (last["event"], last["actor"], last["replay_no"]) == ("resolved", "system", 1)
    assert "replay 1 succeeded" in last["detail"]


def test_a_success_is_not_lost_before_its_failure(ledger: Ledger, engine: Engine) -> None:
    """A success that overtakes the failure of the same replay stands, and the conflict shows."""
    note = letter()
    claimed(ledger, note)

    ledger.ingest([success(note, 1)])
    ledger.ingest([letter(run="r2", replay_no=1, at=50)])

    row = record(engine, note.dead_id)
    assert (row["status"], row["conflict"], row["failures"]) == ("RESOLVED", True, 2)


def test_a_late_success_is_noted(ledger: Ledger, engine: Engine) -> None:
    """The success of a replay that was overtaken by another changes no status, and is told."""
    note = letter()
    claimed(ledger, note)
    ledger.ingest([letter(run="r2", replay_no=1, at=50)])
    ledger.claim([note.dead_id], ACTOR)

    ledger.ingest([success(note, 1)])

    assert record(engine, note.dead_id)["status"] == "RETRYING"
    story = ledger.story(note.dead_id)
    assert story is not None
    assert [number for number, _ in story.late_successes] == [1]


def test_a_success_of_nobody_makes_no_record(ledger: Ledger, engine: Engine) -> None:
    """A confirmation that belongs to no record is counted and remembered, once."""
    assert ledger.ingest([success(letter(), 0)]).early == 1
    assert ledger.ingest([success(letter(), 0)]).early == 1
    assert statuses(engine) == []
    assert len(rows(engine, EarlySuccessRow)) == 1


def test_a_failure_that_comes_after_its_success_is_resolved(ledger: Ledger, engine: Engine) -> None:
    """A dead letter that its worker could not publish for a while does not reopen what has succeeded meanwhile."""
    note = letter()
    ledger.ingest([success(note, 0)])
    ledger.ingest([note])

    row = record(engine, note.dead_id)
    assert (row["status"], row["conflict"]) == ("RESOLVED", True)


def test_the_newest_early_success_is_remembered(ledger: Ledger, engine: Engine) -> None:
    """One of a replay stands over one of the original, in any order."""
    for numbers in ((0, 2), (2, 0), (1, 2, 0)):
        note = letter(f"m{numbers}")
        for number in numbers:
            ledger.ingest([success(note, number)])
        ledger.ingest([letter(f"m{numbers}", replay_no=2)])
        assert record(engine, note.dead_id)["status"] == "RESOLVED"


def test_a_success_counts_that_came_while_its_record_was_made(engine: Engine) -> None:
    """Neither of two transactions sees the other; the sweep does."""
    note, ledger = letter(), Ledger(engine)
    ledger.ingest([note])
    now = datetime.now(UTC)
    with writing(engine) as connection:
        early.remember(connection, [success(note, 0)], now)

    assert (ledger.heed_early_successes(), ledger.heed_early_successes()) == (1, 0)
    assert record(engine, note.dead_id)["status"] == "RESOLVED"


def test_old_early_successes_are_forgotten(engine: Engine) -> None:
    """After a day; newer ones stay."""
    now = datetime.now(UTC)
    with writing(engine) as connection:
        early.remember(connection, [success(letter("old"), 0)], now - early.KEPT - timedelta(seconds=1))
        early.remember(connection, [success(letter("new"), 0)], now)

    Ledger(engine).heed_early_successes()

    assert [row["dead_letter_id"] for row in rows(engine, EarlySuccessRow)] == [letter("new").dead_id]


def test_a_redelivered_message_that_succeeded_is_resolved(ledger: Ledger, engine: Engine) -> None:
    """A worker that died between note and acknowledgement makes a record that its successor resolves."""
    note = letter()
    ledger.ingest([note, success(note, 0)])

    row = record(engine, note.dead_id)
    assert (row["status"], row["conflict"]) == ("RESOLVED", True)


def test_the_cap_quarantines(ledger: Ledger, engine: Engine) -> None:
    """After as many failed replays as the cap allows the record is FAILED, and can be replayed by name."""
    note = letter()
    ledger.ingest([note])
    for number in (1, 2, 3):
        ledger.claim([note.dead_id], ACTOR)
        ledger.ingest([letter(run=f"r{number + 1}", replay_no=number, at=number)])

    assert record(engine, note.dead_id)["status"] == "FAILED"
    assert rows(engine, AuditEventRow)[-1]["event"] == "quarantined"
    assert ledger.claim([note.dead_id], ACTOR)[0].outcome == "done"


@pytest.mark.parametrize("decision", ["resolve", "discard"])
def test_a_decision_ends_with_a_newer_failure(ledger: Ledger, engine: Engine, decision: str) -> None:
    """What an operator closed comes back when the message fails again later, and only then."""
    note = letter(at=5)
    ledger.ingest([note])
    getattr(ledger, decision)([note.dead_id], ACTOR)

    ledger.ingest([letter(run="r0", at=4)])
    assert record(engine, note.dead_id)["status"] in ("RESOLVED", "DISCARDED")

    ledger.ingest([letter(run="r2", at=6)])
    assert record(engine, note.dead_id)["status"] == "PENDING"
    assert rows(engine, AuditEventRow)[-1]["event"] == "reopened"


def test_long_stories_keep_both_ends(ledger: Ledger, engine: Engine) -> None:
    """The first 5 and the last 20 failures keep their texts, all are counted, and known again."""
    notes = [letter(run=f"r{number}", at=number) for number in range(40)]
    for note in reversed(notes):
        ledger.ingest([note])

    assert record(engine, notes[0].dead_id)["failures"] == 40
    kept = [row["run_id"] for row in rows(engine, DeadAttemptRow) if not row["trimmed"]]
    assert sorted(kept, key=lambda run: int(run[1:])) == [f"r{n}" for n in (*range(5), *range(20, 40))]
    assert ledger.ingest(notes).failures == 0


def test_a_bad_note_stops_no_other(ledger: Ledger, engine: Engine) -> None:
    """A note that cannot be stored is parked with its bytes; the rest of its batch is recorded."""
    notes = [letter(f"m{number}") for number in range(20)]
    bad = replace(letter("bad"), dead_id="x" * 65)

    report = ledger.ingest([*notes[:7], bad, *notes[7:]])

    assert (report.recorded, report.parked) == (20, 1)
    (parked,) = rows(engine, FailedImportRow)
    assert b"x" * 65 in parked["body"]
    assert "dead_id" in parked["error"]


def test_a_row_the_database_refuses_stops_no_other(ledger: Ledger, engine: Engine) -> None:
    """A row that only the database refuses is found by halving and parked alone."""
    with engine.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX one_worker ON dead_letters (worker)"))
    notes = [letter(f"m{number}", worker=f"w{number}") for number in range(9)]
    twin = letter("twin", worker="w4")

    report = ledger.ingest([*notes, twin])

    assert (report.recorded, report.parked) == (9, 1)
    assert ledger.failed_import_count() == 1


def test_a_fault_of_our_own_stops_no_other_note(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note that our own code trips over is parked like one that the database refuses."""

    def trip(*arguments: Any) -> Any:
        if arguments[0] == letter("odd").dead_id:
            raise KeyError("a mistake of ours")
        return new_record(*arguments)

    monkeypatch.setattr("fluxora_tasks.ledger.ingest.new_record", trip)

    report = ledger.ingest([letter("m1"), letter("odd"), letter("m2")])

    assert (report.recorded, report.parked) == (2, 1)


def test_parked_messages_are_told_apart(ledger: Ledger, engine: Engine) -> None:
    """A parked message delivered again is counted, not stored twice; another one is stored."""
    ledger.park(Payload(b"\x00garbage", headers={"redelivered": False}), "unreadable")
    ledger.park(Payload(b"\x00garbage", headers={"redelivered": True}), "unreadable")
    ledger.park(Payload(b"\x00garbage", headers={"other": 1}), "unreadable")

    assert [(row["body"], row["seen"]) for row in rows(engine, FailedImportRow)] == [
        (b"\x00garbage", 2),
        (b"\x00garbage", 1),
    ]


def test_more_than_one_batch(ledger: Ledger, engine: Engine) -> None:
    """Any number of notes is taken; each transaction stays bounded."""
    assert ledger.ingest([letter(f"m{number}") for number in range(1201)]).recorded == 1201


def test_large_bodies_are_stored_apart(ledger: Ledger) -> None:
    """Large messages come in transactions of bounded size, and come back whole."""
    body = bytes(range(256)) * 4096 * 9
    notes = [letter(f"m{number}", payload=Payload(body)) for number in range(4)]

    assert ledger.ingest(notes).recorded == 4

    story = ledger.story(notes[3].dead_id)
    assert story is not None
    assert story.payload.body == body


def test_recorders_may_compete(ledger: Ledger, engine: Engine) -> None:
    """Several recorders storing the same notes at once make each record once, with all its failures."""
    notes = [letter(f"m{number % 25}", run=f"r{number}", at=number) for number in range(200)]
    faults: list[BaseException] = []

    def ingest(step: int) -> None:
        try:
            for start in range(0, 200, 20):
                shift = (start + step * 60) % 200
                ledger.ingest(notes[shift : shift + 20])
        except BaseException as exc:
            faults.append(exc)

    threads = [threading.Thread(target=ingest, args=(step,)) for step in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert [row["failures"] for row in rows(engine, DeadLetterRow)] == [8] * 25
    assert len(rows(engine, AuditEventRow)) == 25


def test_an_unreachable_ledger_is_one_line() -> None:
    """A server that is away is named without its password, with what to check."""
    ledger = Ledger(open_engine("postgresql://ada:secret@127.0.0.1:1/fluxora"))

    with pytest.raises(LedgerUnavailable) as caught:
        ledger.ingest([letter()])

    line = str(caught.value)
    assert "secret" not in line
    assert "\n" not in line
    assert "FLUXORA_LEDGER_URL" in line


# --------------------------------------------------------------------------------------------- any order


@st.composite
def stories(draw: st.DrawFn) -> tuple[str, list[tuple[str, int, int, Kind]], list[int]]:
    """What an operator did first, then failures (run, replay, time, kind) and successes (replay)."""
    bases = ["unknown", "pending", "claimed", "aborted", "resolved", "discarded", "restored", "lost"]
    base = draw(st.sampled_from(bases))
    kinds = st.sampled_from([Kind.EXCEPTION, Kind.REVOKED, Kind.POISON_SUSPECT])
    failure = st.tuples(st.integers(0, 2), st.integers(0, 6), kinds)
    failures = [
        (f"r{number}", replay_no, at, kind)
        for number, (replay_no, at, kind) in enumerate(draw(st.lists(failure, max_size=5)))
    ]
    return base, failures, draw(st.lists(st.integers(0, 2), max_size=3))


def prepare(ledger: Ledger, base: str, universe: str) -> DeadLetter:
    """A record, and what an operator did with it; or none yet."""
    first = letter("m", run="base", at=3, dead_id=universe, failure_id=f"{universe[:8]}-base")
    if base == "unknown":
        return first
    ledger.ingest([first])
    if base in ("claimed", "aborted", "lost"):
        (verdict,) = ledger.claim([universe], ACTOR)
        assert verdict.claim is not None
        if base == "aborted":
            ledger.release(verdict.claim.item_id, "no broker")
        if base == "lost":
            assert ledger.lose(universe, 1, ACTOR).outcome == "done"
    if base == "restored":
        ledger.discard([universe], ACTOR)
        ledger.restore([universe], ACTOR)
    if base in ("resolved", "discarded"):
        (ledger.resolve if base == "resolved" else ledger.discard)([universe], ACTOR)
    return first


def told(
    first: DeadLetter, failures: list[tuple[str, int, int, Kind]], successes: list[int]
) -> list[DeadLetter | Confirmation]:
    """The notes of a story about one record."""
    universe = first.dead_id
    notes: list[DeadLetter | Confirmation] = [
        letter(
            "m",
            run=run,
            replay_no=replay_no,
            at=at,
            kind=kind,
            dead_id=universe,
            failure_id=f"{universe[:8]}-{run}",
            payload=Payload(run.encode()),
            fingerprint=Fingerprint("frame", (f"at=f{at % 2}",)),
            view=View([run], {}),
        )
        for run, replay_no, at, kind in failures
    ]
    return [first, *notes, *(success(first, number) for number in successes)]


def check_any_order(engine: Engine, story: tuple[str, list[Any], list[int]], data: st.DataObject) -> None:
    """Tell a story once in order and once shuffled, doubled and cut up; both must end the same."""
    ledger = Ledger(engine)
    base, failures, successes = story
    ends = []
    for is_shuffled in (False, True):
        universe = str(uuid4())
        notes = told(prepare(ledger, base, universe), failures, successes)
        if is_shuffled:
            notes = data.draw(st.permutations(notes + data.draw(st.lists(st.sampled_from(notes), max_size=4))))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(notes)), max_size=3))) if is_shuffled else []
        for start, end in zip([0, *cuts], [*cuts, len(notes)], strict=True):
            ledger.ingest(notes[start:end])
        ends.append(repr(outcome(engine, universe)).replace(universe, "U").replace(universe[:8], "u"))
        assert counted(engine) == recounted(engine)
    assert ends[0] == ends[1]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), data=st.data())
def test_no_order_matters_on_sqlite(
    shared_sqlite: Engine, story: tuple[str, list[Any], list[int]], data: st.DataObject
) -> None:
    """Shuffled, doubled, arbitrarily batched notes end in the same rows."""
    check_any_order(shared_sqlite, story, data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), data=st.data())
def test_no_order_matters_on_postgresql(
    shared_postgresql: Engine, story: tuple[str, list[Any], list[int]], data: st.DataObject
) -> None:
    """As on SQLite."""
    check_any_order(shared_postgresql, story, data)


@pytest.fixture
def shared_sqlite(tmp_path: Path) -> Engine:
    """One SQLite ledger for all examples."""
    engine = open_engine(f"sqlite:///{tmp_path / 'shared.db'}")
    upgrade(engine)
    return engine


@pytest.fixture
def shared_postgresql(database_url: str) -> Engine:
    """One PostgreSQL ledger for all examples."""
    engine = open_engine(database_url)
    upgrade(engine)
    return engine
