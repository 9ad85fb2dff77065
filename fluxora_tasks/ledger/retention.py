"""What the ledger does not keep for ever [sqlalchemy]: a batch at a time, oldest first.

A purged record leaves a tombstone: ids, kind, group, times, and no content. Nothing unresolved is purged unless
somebody asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal_column, select, update

from fluxora_tasks.deadletter.identity import new_id
from fluxora_tasks.ledger import groups, lease, trail
from fluxora_tasks.ledger.audits import audit_columns
from fluxora_tasks.ledger.ingest import STANDING, standing_of
from fluxora_tasks.ledger.models import (
    AnyRow,
    AuditEventRow,
    DeadLetterRow,
    DeadLetterViewRow,
    OutboxRow,
    TombstoneRow,
    table_of,
)
from fluxora_tasks.ledger.outbox import event_columns
from fluxora_tasks.ledger.standing import OPEN, Status
from fluxora_tasks.ledger.statements import insert_new

#: Rows per transaction; bounds how long a writer waits.
BATCH: Final = 1000

#: Days before unresolved records go at which that is told, and records that are counted for it.
TOLD_BEFORE: Final = (7, 1)
MOST_TOLD: Final = 10_000

_A_DAY: Final = timedelta(days=1)

_row = DeadLetterRow

_TOLD: Final = (
    *(_row.message_id, _row.task, _row.queue, _row.failures, _row.first_failed_at, _row.last_failed_at, _row.status_at),
)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept; ``None``: for ever.

    Attributes:
        resolved: RESOLVED records.
        resolved_bodies: Their original messages.
        discarded: DISCARDED records.
        unresolved: PENDING and FAILED records, from their last failure or change of status.
        audit: Audit events and tombstones.
        events: Events of the outbox.
    """

    resolved: timedelta | None = timedelta(days=30)
    resolved_bodies: timedelta | None = timedelta(days=7)
    discarded: timedelta | None = timedelta(days=30)
    unresolved: timedelta | None = None
    audit: timedelta | None = timedelta(days=400)
    events: timedelta | None = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Purged:
    """What one round dropped.

    Attributes:
        records: Whole records.
        bodies: Original messages of records that stay.
        events: Rows of the audit and of the outbox, and tombstones.
        is_done: Whether nothing is left that could go now.
    """

    records: int = 0
    bodies: int = 0
    events: int = 0
    is_done: bool = True

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            self.records + other.records,
            self.bodies + other.bodies,
            self.events + other.events,
            self.is_done and other.is_done,
        )


def purge_records(connection: Connection, status: Status, before: datetime, now: datetime) -> Purged:
    """Drop the oldest records that have stood so since ``before``; each leaves a tombstone and an audit event."""
    rows = _oldest(connection, status, _stood_since(status, before), *_TOLD, *STANDING)
    if not rows:
        return Purged()
    insert_new(connection, table_of(TombstoneRow), "dead_letter_id", [_tombstone(row, now) for row in rows])
    trail.write(connection, [_audit(row, now) for row in rows])
    counts = groups.Changes()
    for row in rows:
        counts.move((row.group_id, Status(row.status)), None)
    connection.execute(delete(_row).where(_row.id.in_([row.id for row in rows])))
    groups.apply(connection, counts, now)
    return Purged(records=len(rows), is_done=len(rows) < BATCH)


@dataclass(frozen=True, slots=True)
class PurgeSoon:
    """Unresolved records that go within ``days``, and one more. ``records``: ``MOST_TOLD`` at most."""

    days: int
    records: int


def tell_of_purge(connection: Connection, keep: timedelta, days: int, now: datetime) -> PurgeSoon | None:
    """Write an event where unresolved records will go so soon; once a day, however many recorders there are."""
    before = now - keep + timedelta(days=days) + _A_DAY
    found = 0
    for status in (Status.PENDING, Status.FAILED):
        some = select(_row.id).where(*_stands(status, _stood_since(status, before))).limit(MOST_TOLD).subquery()
        found += connection.execute(select(func.count()).select_from(some)).scalar_one()
    soon = PurgeSoon(days, min(found, MOST_TOLD))
    if not found or not lease.acquire_or_renew(connection, f"purge-soon-{days}", new_id(), _A_DAY.total_seconds()):
        return None
    told = event_columns(now, "retention.purge_soon", "", days=soon.days, records=soon.records)
    connection.execute(insert(OutboxRow).values(told))
    return soon


def empty_records(connection: Connection, before: datetime, now: datetime) -> Purged:
    """Drop the original messages, and what was shown of them, of records that were resolved before ``before``."""
    rows = _oldest(connection, Status.RESOLVED, (_row.status_at < before) & _row.emptied_at.is_(None))
    ids = [row.id for row in rows]
    if ids:
        emptied = {"body": b"", "headers": "{}", "properties": "{}", "emptied_at": now, "version": _row.version + 1}
        connection.execute(update(_row).where(_row.id.in_(ids)).values(emptied))
        connection.execute(delete(DeadLetterViewRow).where(DeadLetterViewRow.dead_letter_id.in_(ids)))
    return Purged(bodies=len(ids), is_done=len(ids) < BATCH)


def purge_events(connection: Connection, table: type[AuditEventRow | OutboxRow], before: datetime) -> Purged:
    """Drop the oldest rows of the audit or the outbox."""
    old = select(table.seq).where(table.at < before).order_by(table.at).limit(BATCH)
    dropped = connection.execute(delete(table).where(table.seq.in_(old.scalar_subquery()))).rowcount
    return Purged(events=dropped, is_done=dropped < BATCH)


def purge_tombstones(connection: Connection, before: datetime) -> Purged:
    """Drop the oldest tombstones."""
    row = TombstoneRow
    old = select(row.dead_letter_id).where(row.purged_at < before).order_by(row.purged_at).limit(BATCH)
    dropped = connection.execute(delete(row).where(row.dead_letter_id.in_(old.scalar_subquery()))).rowcount
    return Purged(events=dropped, is_done=dropped < BATCH)


def _oldest(connection: Connection, status: Status, condition: ColumnElement[bool], *columns: Any) -> Sequence[AnyRow]:
    by_time = _row.last_failed_at if status in OPEN else _row.status_at
    query = select(_row.id, *columns).where(*_stands(status, condition)).order_by(by_time).limit(BATCH)
    found = connection.execute(query.with_for_update(skip_locked=True)).all()
    return sorted(found, key=lambda row: str(row.id))


def _stands(status: Status, condition: ColumnElement[bool]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    # the status as a literal: only so is an index that knows some of them of use
    return _row.status == literal_column(f"'{status.value}'"), condition


def _stood_since(status: Status, before: datetime) -> ColumnElement[bool]:
    """Whether a record has stood as it does since a time; an open one may have failed since. An index has that."""
    if status in OPEN:
        return and_(_row.last_failed_at < before, _row.status_at < before)
    return _row.status_at < before


def _tombstone(row: AnyRow, now: datetime) -> dict[str, Any]:
    kept = ("message_id", "status", "kind", "task", "queue", "group_id", "failures", "replays", "replay_no")
    times = ("confirmed_no", "first_failed_at", "last_failed_at", "status_at")
    columns = {name: getattr(row, name) for name in (*kept, *times)}
    return {"dead_letter_id": row.id, **columns, "purged_at": now}


def _audit(row: AnyRow, now: datetime) -> dict[str, Any]:
    columns = audit_columns(now, row.id, "purged", Status(row.status), standing_of(row), detail="kept long enough")
    return {**columns, "to_status": "PURGED"}
