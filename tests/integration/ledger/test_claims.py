"""Claims, decisions, and who gets them when many want the same."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.identity import PUBLISH_ID, REPLAY_NO
from fluxora_tasks.ledger.models import AuditEventRow, ReplayItemRow
from fluxora_tasks.ledger.records import Claim, Verdict
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import record, rows
from tests.letters import BODY, letter, success

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")


def claim(ledger: Ledger, dead_id: str) -> Claim:
    """A claim that must be granted."""
    (verdict,) = ledger.claim([dead_id], ADA)
    assert verdict.claim is not None, verdict
    return verdict.claim


def test_a_claim_says_what_to_send(ledger: Ledger, engine: Engine) -> None:
    """A claim has the message as received, to its queue, with the headers of this replay."""
    note = letter()
    ledger.ingest([note])

    granted = claim(ledger, note.dead_id)

    assert (granted.queue, granted.replay_no, granted.payload.body) == ("demand", 1, BODY)
    assert granted.payload.headers[REPLAY_NO] == 1
    row = record(engine, note.dead_id)
    assert (row["status"], row["replay_no"], row["replays"]) == ("RETRYING", 1, 1)
    event = rows(engine, AuditEventRow)[-1]
    assert (event["event"], event["actor"], event["reason"]) == ("replayed", "ada", "cause fixed")


def test_only_one_of_fifty_gets_it(ledger: Ledger, engine: Engine) -> None:
    """Fifty replays of one record at once: one may send, the others are told who does, and since when."""
    note = letter()
    ledger.ingest([note])
    start = threading.Barrier(50)
    verdicts: list[Verdict] = []

    def ask(number: int) -> None:
        start.wait()
        verdicts.extend(ledger.claim([note.dead_id], Actor(f"user{number}", "now")))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(verdict.outcome for verdict in verdicts) == {"done": 1, "conflict": 49}
    (item,) = rows(engine, ReplayItemRow)
    told = {verdict.detail for verdict in verdicts if verdict.outcome == "conflict"}
    assert told == {f"already replaying by {item['actor']} since 2000-06-05 12:16:40 UTC"}


@pytest.mark.parametrize("closing", ["resolve", "discard"])
def test_what_is_closed_is_not_replayed(ledger: Ledger, closing: str) -> None:
    """A record that is resolved or discarded refuses every action, with its status."""
    note = letter()
    ledger.ingest([note])
    (done,) = getattr(ledger, closing)([note.dead_id], ADA)
    assert done.outcome == "done"

    for again in (ledger.claim, ledger.resolve, ledger.discard):
        (verdict,) = again([note.dead_id], ADA)
        assert (verdict.outcome, verdict.status) == ("refused", done.status)
        assert "only PENDING or FAILED" in verdict.detail


def test_what_is_replaying_is_left_alone(ledger: Ledger) -> None:
    """Nobody resolves or discards a record while a replay of it is on its way."""
    note = letter()
    ledger.ingest([note])
    claim(ledger, note.dead_id)

    for decide in (ledger.resolve, ledger.discard):
        (verdict,) = decide([note.dead_id], ADA)
        assert verdict.outcome == "conflict"
        assert "already replaying by ada since" in verdict.detail


@pytest.mark.parametrize("word", ["resolve", "discard"])
def test_an_end_by_hand_is_taken_back(ledger: Ledger, engine: Engine, word: str) -> None:
    """What an operator ended can be restored, with an audit row; then it can be replayed."""
    note = letter()
    ledger.ingest([note])
    getattr(ledger, word)([note.dead_id], ADA)

    (verdict,) = ledger.restore([note.dead_id], ADA)

    assert (verdict.outcome, verdict.status) == ("done", "PENDING")
    assert rows(engine, AuditEventRow)[-1]["event"] == "restored"
    assert claim(ledger, note.dead_id).replay_no == 1


def test_what_succeeded_stays_resolved(ledger: Ledger) -> None:
    """A success is final: it cannot be restored."""
    note = letter()
    ledger.ingest([note, success(note, 0)])

    (verdict,) = ledger.restore([note.dead_id], ADA)

    assert (verdict.outcome, verdict.status) == ("refused", "RESOLVED")


def test_a_release_counts_replays_anew(ledger: Ledger, engine: Engine) -> None:
    """A record out of quarantine has all its replays before it, and is quarantined again after them."""
    note = letter()
    ledger.ingest([note])
    statuses = []
    for number in range(1, 8):
        claim(ledger, note.dead_id)
        ledger.ingest([letter(run=f"r{number}x", replay_no=number, at=number)])
        statuses.append(record(engine, note.dead_id)["status"])
        if statuses[-1] == "FAILED":
            (verdict,) = ledger.readmit([note.dead_id], ADA)
            assert (verdict.outcome, verdict.status) == ("done", "PENDING")

    assert statuses == ["PENDING", "PENDING", "FAILED"] * 2 + ["PENDING"]
    assert record(engine, note.dead_id)["replays"] == 7


def test_only_what_is_quarantined_is_released(ledger: Ledger) -> None:
    """A record that waits anyway is none."""
    note = letter()
    ledger.ingest([note])

    (verdict,) = ledger.readmit([note.dead_id], ADA)

    assert (verdict.outcome, "only FAILED" in verdict.detail) == ("refused", True)


def test_a_replay_declared_lost_gives_the_record_back(ledger: Ledger, engine: Engine) -> None:
    """The record waits again; a success that comes after all still counts, and ends it."""
    note = letter()
    ledger.ingest([note])
    claim(ledger, note.dead_id)

    assert ledger.lose(note.dead_id, 2, ADA).outcome == "conflict"
    assert ledger.lose(note.dead_id, 1, ADA).status == "PENDING"
    assert ledger.lose(note.dead_id, 1, ADA).outcome == "conflict"
    (item,) = rows(engine, ReplayItemRow)
    assert (item["state"], item["active"]) == ("lost", False)

    ledger.ingest([success(note, 1)])

    assert record(engine, note.dead_id)["status"] == "RESOLVED"


def test_a_decision_is_audited(ledger: Ledger, engine: Engine) -> None:
    """Resolving leaves one line with who and why."""
    note = letter()
    ledger.ingest([note])
    ledger.resolve([note.dead_id], Actor("ada", "done by hand", "flower"))

    event = rows(engine, AuditEventRow)[-1]
    assert (event["event"], event["from_status"], event["to_status"]) == ("resolved", "PENDING", "RESOLVED")
    assert (event["actor"], event["source"], event["reason"]) == ("ada", "flower", "done by hand")


def test_verdicts_come_in_the_order_asked(ledger: Ledger) -> None:
    """Each id is answered in its place, the unknown ones too."""
    notes = [letter(f"m{number}") for number in range(3)]
    ledger.ingest(notes)
    ids = [notes[2].dead_id, "nobody", notes[0].dead_id]

    verdicts = ledger.claim(ids, ADA)

    assert [(verdict.id, verdict.outcome) for verdict in verdicts] == [
        (ids[0], "done"),
        ("nobody", "unknown"),
        (ids[2], "done"),
    ]


def test_without_a_queue_there_is_nowhere_to_send(ledger: Ledger) -> None:
    """A record whose queue nobody knows is refused before anything is used up."""
    note = letter(queue="")
    ledger.ingest([note])

    (verdict,) = ledger.claim([note.dead_id], ADA)

    assert (verdict.outcome, verdict.status) == ("refused", "PENDING")


def test_a_failed_publish_gives_the_record_back(ledger: Ledger, engine: Engine) -> None:
    """A claim that could not be published leaves the record as it was, with a line that says why."""
    note = letter()
    ledger.ingest([note])

    assert ledger.release(claim(ledger, note.dead_id).item_id, "no broker") == "PENDING"

    row = record(engine, note.dead_id)
    assert (row["status"], row["replay_no"], row["replays"]) == ("PENDING", 1, 0)
    event = rows(engine, AuditEventRow)[-1]
    assert (event["event"], event["actor"], event["detail"]) == ("publish_failed", "system", "no broker")
    assert claim(ledger, note.dead_id).replay_no == 2


def test_a_failed_publish_of_a_quarantined_record(ledger: Ledger, engine: Engine) -> None:
    """A record that was FAILED is FAILED again."""
    note = letter(kind=Kind.POISON_SUSPECT)
    ledger.ingest([note])

    assert ledger.release(claim(ledger, note.dead_id).item_id, "no broker") == "FAILED"


def test_an_answer_beats_a_failed_publish(ledger: Ledger, engine: Engine) -> None:
    """A message that was answered although its confirm was lost stays answered."""
    note = letter()
    ledger.ingest([note])
    granted = claim(ledger, note.dead_id)
    ledger.ingest([success(note, 1)])

    assert ledger.release(granted.item_id, "no confirm") == "RESOLVED"
    assert [item["state"] for item in rows(engine, ReplayItemRow)] == ["succeeded"]


def test_an_issued_replay_is_not_sent_again(ledger: Ledger, clock: HeldClock) -> None:
    """Only claims that nobody marked are taken up again, and only after a while."""
    notes = [letter("m1"), letter("m2")]
    ledger.ingest(notes)
    first, second = (claim(ledger, note.dead_id) for note in notes)
    ledger.mark_issued([first.item_id])

    assert ledger.retake(older_than=30) == []
    clock.advance(31)
    again = ledger.retake(older_than=30)

    assert [item.item_id for item in again] == [second.item_id]


def test_a_second_copy_has_a_publish_id_of_its_own(ledger: Ledger, clock: HeldClock) -> None:
    """The workers run the first copy they meet and drop the other, because it is told apart."""
    note = letter()
    ledger.ingest([note])
    first = claim(ledger, note.dead_id)
    clock.advance(31)

    (second,) = ledger.retake(older_than=30)

    assert second.replay_no == first.replay_no
    assert second.payload.headers[PUBLISH_ID] != first.payload.headers[PUBLISH_ID]


def test_a_claim_is_given_up_after_five_copies(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """A replay that cannot be published for long gives its record back."""
    note = letter()
    ledger.ingest([note])
    claim(ledger, note.dead_id)
    for _ in range(5):
        clock.advance(31)
        taken = ledger.retake(older_than=30)

    assert taken == []
    assert record(engine, note.dead_id)["status"] == "PENDING"
    assert "5 times" in rows(engine, AuditEventRow)[-1]["detail"]


def test_a_burnt_task_id_is_replaced_for_good(ledger: Ledger) -> None:
    """After an expiry every replay has an id that the workers have not seen expire."""
    note = letter(kind=Kind.EXPIRED)
    ledger.ingest([note])
    first = claim(ledger, note.dead_id).payload.headers["id"]
    ledger.ingest([letter(run="r2", replay_no=1, at=5, kind=Kind.EXCEPTION)])
    second = claim(ledger, note.dead_id).payload.headers["id"]

    assert note.task_id not in (first, second)
    assert first == second


def test_an_ordinary_task_id_is_kept(ledger: Ledger) -> None:
    """The caller's result handle shows the truth of the replay."""
    note = letter()
    ledger.ingest([note])

    payload = claim(ledger, note.dead_id).payload

    assert payload.headers["id"] == payload.properties["correlation_id"] == note.task_id


def test_marks_and_answers_do_not_wait_for_each_other(ledger: Ledger, engine: Engine) -> None:
    """Many replays answered while they are being marked end all, on either side's order."""
    notes = [letter(f"m{number}") for number in range(60)]
    ledger.ingest(notes)
    verdicts = ledger.claim([note.dead_id for note in notes], ADA)
    items = [verdict.claim.item_id for verdict in verdicts if verdict.claim]
    faults: list[BaseException] = []

    def guarded(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as exc:
            faults.append(exc)

    def mark() -> None:
        for start in range(0, 60, 20):
            ledger.mark_issued(list(reversed(items[start : start + 20])))

    def answer() -> None:
        for start in range(40, -1, -20):
            failed = [letter(f"m{n}", run="r2", replay_no=1, at=5) for n in range(start, start + 10)]
            ledger.ingest([*failed, *(success(notes[n], 1) for n in range(start + 10, start + 20))])

    threads = [threading.Thread(target=guarded, args=(act,)) for act in (mark, answer, mark, answer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert Counter(item["state"] for item in rows(engine, ReplayItemRow)) == {"failed": 30, "succeeded": 30}
