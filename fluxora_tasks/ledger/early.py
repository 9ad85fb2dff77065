"""Successes that are heard of before a failure of their message [sqlalchemy].

A dead letter waits in its worker while the broker does not take it; a redelivered copy of the message may succeed
elsewhere meanwhile. So a success without a record is remembered, and counts once there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from fluxora_tasks.deadletter.envelope import Confirmation
from fluxora_tasks.ledger.fold import News
from fluxora_tasks.ledger.models import DeadLetterRow, EarlySuccessRow, table_of
from fluxora_tasks.ledger.rows import LABEL_LENGTH, storable
from fluxora_tasks.ledger.statements import among, insert_new

#: How long one is remembered: longer than a worker holds a dead letter that it cannot publish.
KEPT: Final = timedelta(days=1)

#: How long ago one may have come in a transaction that did not see the record which another one was making.
RACE: Final = timedelta(minutes=1)

#: Forgotten at once.
_SLICE: Final = 5000

_row = EarlySuccessRow


def remember(connection: Connection, successes: Iterable[Confirmation], now: datetime) -> None:
    """Keep the newest success of each message."""
    newest = {note.dead_id: note for note in sorted(successes, key=lambda note: note.replay_no)}
    rows = [_columns(note, now) for note in newest.values()]
    inserted = insert_new(connection, table_of(_row), "dead_letter_id", rows)
    for row in rows:
        if row["replay_no"] and row["dead_letter_id"] not in inserted:
            overtaken = (_row.dead_letter_id == row["dead_letter_id"], _row.replay_no < row["replay_no"])
            connection.execute(update(_row).where(*overtaken).values(row))


def recall(connection: Connection, news: Mapping[str, News]) -> None:
    """Add what is remembered to the news of messages that failed."""
    failed = [dead_id for dead_id, item in news.items() if item.entries]
    if failed:
        for note in _found(connection, among(connection, _row.dead_letter_id, failed)):
            news[note.dead_id].successes.append(note)


def unheeded(connection: Connection, now: datetime) -> Sequence[Confirmation]:
    """Those of the last minute whose record was made at the same time and does not know of them."""
    record = DeadLetterRow
    ignorant = or_(record.confirmed_no.is_(None), record.confirmed_no < _row.replay_no)
    same = select(record.id).where(record.id == _row.dead_letter_id, ignorant).exists()
    return _found(connection, _row.heard_at > now - RACE, same)


def forget(connection: Connection, now: datetime) -> None:
    """Drop old ones, a slice at a time."""
    old = select(_row.dead_letter_id).where(_row.heard_at < now - KEPT).limit(_SLICE)
    connection.execute(delete(_row).where(_row.dead_letter_id.in_(old.scalar_subquery())))


def _found(connection: Connection, *conditions: ColumnElement[bool]) -> list[Confirmation]:
    columns = (_row.dead_letter_id, _row.replay_no, _row.run_id, _row.succeeded_at, _row.worker)
    return [Confirmation(*found) for found in connection.execute(select(*columns).where(*conditions))]


def _columns(note: Confirmation, now: datetime) -> dict[str, Any]:
    return {
        "dead_letter_id": note.dead_id,
        "replay_no": note.replay_no,
        "run_id": storable(note.run_id, LABEL_LENGTH),
        "succeeded_at": note.succeeded_at,
        "heard_at": now,
        "worker": storable(note.worker, LABEL_LENGTH),
    }
