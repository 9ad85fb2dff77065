"""Questions to the audit [sqlalchemy]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, or_, select

from fluxora_tasks.ledger.models import AuditEventRow
from fluxora_tasks.ledger.records import TrailEntry

_row = AuditEventRow
_ENTRY: Final = tuple(getattr(_row, name) for name in TrailEntry.__slots__)


@dataclass(frozen=True, slots=True)
class TrailQuery:
    """What is asked for; ``None`` asks for nothing in particular.

    Attributes:
        about: Id of a record, a group or an operation.
        actor: Who did it.
        event: What was done, as the audit calls it.
        since: From then on; ``until``: before then.
    """

    about: str | None = None
    actor: str | None = None
    event: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def newest(connection: Connection, query: TrailQuery, *, before: int | None, limit: int) -> Sequence[TrailEntry]:
    """Entries, newest first, that are older than entry ``before``."""
    older = () if before is None else (_row.seq < before,)
    return _entries(connection, [*_conditions(query), *older], _row.seq.desc(), limit)


def oldest(connection: Connection, query: TrailQuery, *, after: int, limit: int) -> Sequence[TrailEntry]:
    """Entries, oldest first, that are newer than entry ``after``."""
    return _entries(connection, [*_conditions(query), _row.seq > after], _row.seq.asc(), limit)


def _entries(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], order: ColumnElement[int], limit: int
) -> Sequence[TrailEntry]:
    found = connection.execute(select(*_ENTRY).where(*conditions).order_by(order).limit(limit))
    return [TrailEntry(**row._mapping) for row in found]


def _conditions(query: TrailQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.about is not None:
        ids = (_row.dead_letter_id, _row.group_id, _row.operation_id)
        conditions.append(or_(*(column == query.about for column in ids)))
    if query.actor is not None:
        conditions.append(_row.actor == query.actor)
    if query.event is not None:
        conditions.append(_row.event == query.event)
    if query.since is not None:
        conditions.append(_row.at >= query.since)
    if query.until is not None:
        conditions.append(_row.at < query.until)
    return conditions
