"""One record, whole [sqlalchemy]: its message, its failures, its replays, and what was done with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from fluxora_tasks.deadletter.envelope import View
from fluxora_tasks.ledger.models import (
    AnyRow,
    AuditEventRow,
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    ReplayItemRow,
)
from fluxora_tasks.ledger.records import Attempt, AuditEvent, RunningReplay, Story
from fluxora_tasks.ledger.search import SUMMARY, letter_of, payload_of
from fluxora_tasks.ledger.views import read_view

#: Two messages without an id may be one only if they died within this time; more of them are not named.
_TOGETHER: Final = timedelta(hours=1)
_MOST_DUPLICATES: Final = 20

_row = DeadLetterRow


def story(connection: Connection, dead_id: str) -> Story | None:
    """One record, whole."""
    columns = (
        *(_row.body, _row.content_type, _row.content_encoding, _row.headers, _row.properties, _row.body_digest),
        *(_row.traceback, _row.worker, _row.exchange, _row.routing_key, _row.message_id, _row.failures),
    )
    row = connection.execute(select(*SUMMARY, *columns).where(_row.id == dead_id)).one_or_none()
    if row is None:
        return None
    return Story(
        letter=letter_of(row),
        payload=payload_of(row),
        traceback=row.traceback,
        worker=row.worker,
        exchange=row.exchange,
        routing_key=row.routing_key,
        message_id=row.message_id,
        failures=row.failures,
        attempts=_attempts(connection, dead_id),
        events=_events(connection, dead_id),
        late_successes=_late_successes(connection, dead_id),
        view=_view(connection, dead_id),
        replay=running_replay(connection, dead_id),
        duplicates=_duplicates(connection, row),
    )


def running_replay(connection: Connection, dead_id: str) -> RunningReplay | None:
    """The replay of a record that has no outcome yet."""
    columns = [getattr(ReplayItemRow, name) for name in RunningReplay.__slots__]
    query = select(*columns).where(ReplayItemRow.dead_letter_id == dead_id, ReplayItemRow.active)
    row = connection.execute(query).one_or_none()
    return None if row is None else RunningReplay(**row._mapping)


def _view(connection: Connection, dead_id: str) -> View | None:
    row = select(DeadLetterViewRow.view).where(DeadLetterViewRow.dead_letter_id == dead_id)
    return read_view(connection.execute(row).scalar())


def _duplicates(connection: Connection, row: AnyRow) -> Sequence[str]:
    """Records that may stand for the same message: without an id of its own it got one each time it died."""
    if row.body_digest is None:
        return ()
    near = _row.first_failed_at.between(row.first_failed_at - _TOGETHER, row.first_failed_at + _TOGETHER)
    same = (_row.body_digest == row.body_digest, _row.queue == row.queue, _row.id != row.id)
    query = select(_row.id).where(*same, near).order_by(_row.first_failed_at, _row.id).limit(_MOST_DUPLICATES)
    return list(connection.execute(query).scalars())


def _attempts(connection: Connection, dead_id: str) -> list[Attempt]:
    row = DeadAttemptRow
    columns = [getattr(row, name) for name in Attempt.__slots__]
    query = (
        select(*columns)
        .where(row.dead_letter_id == dead_id, ~row.trimmed)
        .order_by(row.replay_no, row.failed_at, row.failure_id)
    )
    return [Attempt(**found._mapping) for found in connection.execute(query)]


def _events(connection: Connection, dead_id: str) -> list[AuditEvent]:
    row = AuditEventRow
    columns = [getattr(row, name) for name in AuditEvent.__slots__]
    query = select(*columns).where(row.dead_letter_id == dead_id).order_by(row.seq)
    return [AuditEvent(**found._mapping) for found in connection.execute(query)]


def _late_successes(connection: Connection, dead_id: str) -> list[tuple[int, datetime]]:
    item, event = ReplayItemRow, AuditEventRow
    told = select(event.replay_no).where(event.dead_letter_id == dead_id, event.event == "resolved")
    query = select(item.replay_no, item.ended_at).where(
        item.dead_letter_id == dead_id, item.state == "succeeded", item.replay_no.not_in(told)
    )
    return [(row.replay_no, row.ended_at) for row in connection.execute(query)]
