"""Retention: what goes, when, what stays of it, and what never goes by itself."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from fluxora_tasks.deadletter.envelope import DeadLetter, Progress, View
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.ledger import retention
from fluxora_tasks.ledger.models import (
    AuditEventRow,
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    LeaseRow,
    OutboxRow,
    ReplayItemRow,
    TombstoneRow,
)
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.ledger.retention import Purged, PurgeSoon, Retention
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import counted, record, recounted, rows
from tests.letters import START, letter, success

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")
DAY = 86_400.0
FINGERPRINT = Fingerprint("frame", ("at=demand.ingest:parse",))


def stored(ledger: Ledger, message_id: str, word: str = "") -> DeadLetter:
    """A record, with an operator's word about it."""
    note = letter(message_id, run=message_id, fingerprint=FINGERPRINT, view=View(["2000-06-05"], {"region": "GB"}))
    ledger.ingest([note])
    if word:
        getattr(ledger, word)([note.dead_id], ADA)
    return note


def test_nothing_unresolved_goes_by_itself(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """A PENDING record stays for ever, with its message."""
    note = stored(ledger, "m1")
    clock.advance(3000 * DAY)

    ledger.purge(Retention())

    assert record(engine, note.dead_id)["body"] == note.payload.body


def test_a_purged_record_leaves_a_tombstone(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """Of a record that was resolved long ago only a tombstone and its audit are left; others stay."""
    old = stored(ledger, "old")
    ledger.claim([old.dead_id], ADA)
    ledger.ingest([success(old, 1)])
    clock.advance(20 * DAY)
    young = stored(ledger, "young", "resolve")
    clock.advance(11 * DAY)

    purged = ledger.purge(Retention(resolved_bodies=None))

    assert (purged.records, purged.is_done) == (1, True)
    assert [row["id"] for row in rows(engine, DeadLetterRow)] == [young.dead_id]
    (tombstone,) = rows(engine, TombstoneRow)
    assert (tombstone["dead_letter_id"], tombstone["status"], tombstone["replays"]) == (old.dead_id, "RESOLVED", 1)
    for table in (DeadAttemptRow, ReplayItemRow, DeadLetterViewRow):
        assert rows(engine, table, dead_letter_id=old.dead_id) == []
    last = rows(engine, AuditEventRow, dead_letter_id=old.dead_id)[-1]
    assert (last["event"], last["from_status"], last["to_status"]) == ("purged", "RESOLVED", "PURGED")
    assert rows(engine, OutboxRow, subject=old.dead_id)[-1]["event"] == "message.purged"
    assert counted(engine) == ({(FINGERPRINT.group_id, "RESOLVED"): 1}, {FINGERPRINT.group_id: 2})
    assert ledger.known_messages(["old", "young", "other"]) == {"old", "young"}


def test_messages_of_resolved_records_go_first(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """After a week nothing of a resolved message is kept but who it was; it cannot be sent again."""
    note = stored(ledger, "m1", "resolve")
    clock.advance(8 * DAY)

    assert ledger.purge(Retention()).bodies == 1
    assert ledger.purge(Retention()).bodies == 0

    row = record(engine, note.dead_id)
    assert (row["body"], row["headers"], row["status"]) == (b"", "{}", "RESOLVED")
    ledger.restore([note.dead_id], ADA)
    (verdict,) = ledger.claim([note.dead_id], ADA)
    assert (verdict.outcome, "dropped by retention" in verdict.detail) == ("refused", True)


def test_a_newer_failure_of_a_purged_message_is_seen(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """Purging swallows nothing that happens later."""
    note = stored(ledger, "m1", "discard")
    clock.advance(31 * DAY)
    ledger.purge(Retention())

    ledger.ingest([letter("m1", run="later", at=31 * DAY, fingerprint=FINGERPRINT)])

    assert record(engine, note.dead_id)["status"] == "PENDING"
    assert counted(engine)[0] == recounted(engine)[0]


def test_it_goes_in_batches(ledger: Ledger, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round drops a batch and says that more is left."""
    monkeypatch.setattr(retention, "BATCH", 3)
    for number in range(7):
        stored(ledger, f"m{number}", "discard")
    clock.advance(31 * DAY)
    keep = Retention(audit=None, events=None)

    rounds = [ledger.purge(keep) for _ in range(3)]

    assert [(one.records, one.is_done) for one in rounds] == [(3, False), (3, False), (1, True)]


def test_audit_and_events_have_their_own_time(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """Events go after a month, audit after more than a year."""
    stored(ledger, "m1", "discard")
    clock.advance(31 * DAY)
    ledger.purge(Retention(discarded=None, resolved=None))
    assert rows(engine, OutboxRow) == []
    assert len(rows(engine, AuditEventRow)) == 3  # the group, its first failure, the discard

    clock.advance(400 * DAY)
    ledger.purge(Retention(discarded=None, resolved=None))

    assert rows(engine, AuditEventRow) == []


def test_whoever_asks_may_purge_what_is_unresolved(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """Only an explicit word purges PENDING records; records on their way never go."""
    stored(ledger, "m1")
    away = stored(ledger, "m2")
    ledger.claim([away.dead_id], ADA)
    clock.advance(100 * DAY)

    assert ledger.purge(Retention(unresolved=timedelta(days=90), audit=None, events=None)) == Purged(records=1)

    assert [row["id"] for row in rows(engine, DeadLetterRow)] == [away.dead_id]


def test_what_goes_soon_is_told_once_a_day(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """A week and a day before unresolved records go; a record that failed again since has its full time."""
    kept = Retention(unresolved=timedelta(days=90), audit=None, events=None)
    stored(ledger, "m1")
    assert ledger.tell_of_purge(kept) == []
    clock.advance(83 * DAY)
    assert [ledger.tell_of_purge(kept), ledger.tell_of_purge(kept)] == [[PurgeSoon(7, 1)], []]
    clock.advance(6 * DAY)
    _a_day_passes(engine)
    assert ledger.tell_of_purge(kept) == [PurgeSoon(7, 1), PurgeSoon(1, 1)]
    assert ledger.tell_of_purge(Retention()) == []

    ledger.ingest([letter("m1", run="again", at=(clock.now() - START).total_seconds(), fingerprint=FINGERPRINT)])
    clock.advance(2 * DAY)
    _a_day_passes(engine)
    assert (ledger.tell_of_purge(kept), ledger.purge(kept)) == ([], Purged())

    events = [row for row in rows(engine, OutboxRow) if row["event"] == "retention.purge_soon"]
    assert [json.loads(row["data"])["days"] for row in events] == [7, 7, 1]


def _a_day_passes(engine: Engine) -> None:
    """By the clock of the database, which the leases are of."""
    with engine.begin() as connection:
        connection.execute(update(LeaseRow).values(until=0.0))


def test_a_silent_replay_is_noted_once(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """A replay that nobody has heard of is flagged, with one event; one that was put off is given its time."""
    note = stored(ledger, "m1")
    (verdict,) = ledger.claim([note.dead_id], ADA)
    assert verdict.claim is not None
    ledger.mark_issued([verdict.claim.item_id])
    clock.advance(901)

    assert [ledger.flag_unconfirmed(after=900), ledger.flag_unconfirmed(after=900)] == [1, 0]

    (item,) = rows(engine, ReplayItemRow)
    assert (item["unconfirmed_at"], item["active"]) == (clock.now(), True)
    events = [row["event"] for row in rows(engine, OutboxRow, subject=note.dead_id)]
    assert events.count("message.unconfirmed") == 1


def test_a_replay_that_goes_on_is_not_silent(ledger: Ledger, engine: Engine, clock: HeldClock) -> None:
    """A worker's word that the next attempt is due later puts the flag off, and takes it back."""
    note = stored(ledger, "m1")
    (verdict,) = ledger.claim([note.dead_id], ADA)
    assert verdict.claim is not None
    ledger.mark_issued([verdict.claim.item_id])
    clock.advance(901)
    ledger.flag_unconfirmed(after=900)

    ledger.ingest([Progress(note.dead_id, 1, "run", clock.now(), clock.now() + timedelta(hours=1), "w1")])

    assert rows(engine, ReplayItemRow)[0]["unconfirmed_at"] is None
    clock.advance(3600 + 899)
    assert ledger.flag_unconfirmed(after=900) == 0
    clock.advance(2)
    assert ledger.flag_unconfirmed(after=900) == 1
