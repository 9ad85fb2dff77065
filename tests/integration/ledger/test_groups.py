"""Groups: what they count, and that they come back when somebody was too early."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from fluxora_tasks.deadletter.envelope import DeadLetter
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.ledger.models import AuditEventRow, GroupRow, OutboxRow
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import counted, recounted, rows
from tests.letters import letter, success

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")

HERE = Fingerprint("frame", ("type=builtins.ValueError", "at=demand.ingest:parse"))
THERE = Fingerprint("frame", ("type=builtins.ValueError", "at=demand.ingest:store"))


def alike(message_id: str = "m1", of: Fingerprint = HERE, **more: Any) -> DeadLetter:
    """A letter with a fingerprint."""
    return letter(message_id, fingerprint=of, **more)


def group(engine: Engine, of: Fingerprint = HERE) -> dict[str, Any]:
    """One group's row."""
    (row,) = rows(engine, GroupRow, id=of.group_id)
    return row


def counts(row: dict[str, Any]) -> dict[str, int]:
    """Records by status, where there are any."""
    return {name: row[name] for name in ("pending", "retrying", "resolved", "failed", "discarded") if row[name]}


def test_like_failures_are_one_group(ledger: Ledger, engine: Engine) -> None:
    """A group counts its records and shows its newest failure, whichever came last."""
    ledger.ingest([alike("m2", at=20, message="new"), alike("m1", at=10, message="old")])

    row = group(engine)

    assert counts(row) == {"pending": 2}
    assert (row["failures"], row["message"], row["state"]) == (2, "new", "open")
    assert row["first_failed_at"] < row["last_failed_at"]


def test_a_failure_heard_of_twice_is_counted_once(ledger: Ledger, engine: Engine) -> None:
    """The same note again changes no count."""
    for _ in range(3):
        ledger.ingest([alike()])

    row = group(engine)

    assert (counts(row), row["failures"]) == ({"pending": 1}, 1)


def test_three_replays_that_fail_are_one_record_with_four_failures(ledger: Ledger, engine: Engine) -> None:
    """A record stays one record of its group, however often its replays fail."""
    note = alike()
    ledger.ingest([note])
    for number in (1, 2, 3):
        ledger.claim([note.dead_id], ADA)
        assert counts(group(engine)) == {"retrying": 1}
        ledger.ingest([alike(run=f"again{number}", replay_no=number, at=number)])

    row = group(engine)

    assert (counts(row), row["failures"]) == ({"failed": 1}, 4)
    assert ledger.find().total == 1


def test_a_record_that_fails_otherwise_moves(ledger: Ledger, engine: Engine) -> None:
    """A replay that fails for another cause is counted there, and only there."""
    note = alike()
    ledger.ingest([note])
    ledger.claim([note.dead_id], ADA)
    ledger.ingest([alike(of=THERE, run="again", replay_no=1, at=5)])

    assert counts(group(engine)) == {}
    assert counts(group(engine, THERE)) == {"pending": 1}
    assert group(engine)["failures"] == 1


@pytest.mark.parametrize(("word", "status"), [("resolve", "resolved"), ("discard", "discarded")])
def test_every_word_moves_the_counts(ledger: Ledger, engine: Engine, word: str, status: str) -> None:
    """What an operator says of a record is seen in its group, and taken back there."""
    note = alike()
    ledger.ingest([note])
    getattr(ledger, word)([note.dead_id], ADA)
    assert counts(group(engine)) == {status: 1}

    ledger.restore([note.dead_id], ADA)

    assert counts(group(engine)) == {"pending": 1}


def test_what_is_discarded_and_fails_again_is_seen(ledger: Ledger, engine: Engine) -> None:
    """Neither a discarded record nor a discarded group hides a later failure."""
    note = alike()
    ledger.ingest([note])
    ledger.discard([note.dead_id], ADA)

    ledger.ingest([alike(run="later", at=50), alike("m2", run="other", at=60)])

    assert counts(group(engine)) == {"pending": 2}
    assert [item.status for item in ledger.find().letters] == ["PENDING", "PENDING"]


def test_a_resolved_group_that_fails_again_has_regressed(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """A failure after the word is a regression; a late note of an earlier failure is none."""
    ledger.ingest([alike("m1", at=10)])
    ledger.set_group_state([HERE.group_id], "resolved", ADA)

    ledger.ingest([alike("m2", run="late", at=20)])
    assert group(engine)["state"] == "resolved"

    ledger.ingest([alike("m3", run="new", at=1001)])
    assert (group(engine)["state"], group(engine)["regressions"]) == ("regressed", 1)
    assert rows(engine, AuditEventRow, group_id=HERE.group_id)[-1]["event"] == "group_regressed"
    assert rows(engine, OutboxRow, subject=HERE.group_id)[-1]["event"] == "group.regressed"


def test_an_ignored_group_goes_on_counting(ledger: Ledger, engine: Engine) -> None:
    """Ignoring hides nothing."""
    ledger.ingest([alike("m1")])
    ledger.set_group_state([HERE.group_id], "ignored", ADA)

    ledger.ingest([alike("m2", run="r2", at=2000)])

    assert (group(engine)["state"], counts(group(engine))) == ("ignored", {"pending": 2})
    assert ledger.find().total == 2


def test_every_change_leaves_one_event(ledger: Ledger, engine: Engine) -> None:
    """Audit and outbox tell the same story, in the same order."""
    note = alike()
    ledger.ingest([note])
    ledger.claim([note.dead_id], ADA)
    ledger.ingest([alike(run="again", replay_no=1, at=5)])
    ledger.claim([note.dead_id], ADA)
    ledger.ingest([success(note, 2)])

    audits = [row["event"] for row in rows(engine, AuditEventRow, dead_letter_id=note.dead_id)]
    events = [row["event"] for row in rows(engine, OutboxRow, subject=note.dead_id)]

    assert audits == ["failed", "replayed", "failed", "replayed", "resolved"]
    assert events == [
        "message.dead",
        "message.replaying",
        "message.failed_again",
        "message.replaying",
        "message.resolved",
    ]
    assert len({row["event_id"] for row in rows(engine, OutboxRow)}) == len(rows(engine, OutboxRow))


def test_recorders_may_compete_for_a_group(ledger: Ledger, engine: Engine) -> None:
    """Several transactions at once lose no count and wait for each other without a deadlock."""
    batches = [
        [alike(f"m{worker}-{n}", of=(HERE, THERE)[n % 2], run=f"{worker}-{n}", at=n) for n in range(40)]
        for worker in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ledger.ingest, batches))

    assert counts(group(engine)) == counts(group(engine, THERE)) == {"pending": 120}
    assert counted(engine) == recounted(engine)
