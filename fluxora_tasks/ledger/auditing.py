"""Questions to the audit [sqlalchemy]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, literal_column, or_, select, tuple_, union

from fluxora_tasks.ledger.models import AuditEventRow
from fluxora_tasks.ledger.models.events import BY_PEOPLE, MACHINES, SELDOM, USUAL
from fluxora_tasks.ledger.records import TrailEntry

_row = AuditEventRow
_ENTRY: Final = tuple(getattr(_row, name) for name in TrailEntry.__slots__)

#: What an entry may be about.
_SUBJECTS: Final = (_row.dead_letter_id, _row.group_id, _row.operation_id)


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
    """Entries, newest first, that are older than entry ``before``.

    Within a time they are in the order of their times, which clocks that differ may have made another than that in
    which they were written: only so the time leads to them.
    """
    conditions = _conditions(query)
    if query.about is not None:
        return _about(connection, query.about, [*conditions, *_earlier(before)], limit)
    if query.since is None and query.until is None:
        return _entries(connection, [*conditions, *_earlier(before)], (_row.seq.desc(),), limit)
    if before is not None:
        moment = select(_row.at).where(_row.seq == before).scalar_subquery()
        conditions.append(tuple_(_row.at, _row.seq) < tuple_(moment, before))
    return _entries(connection, conditions, (_row.at.desc(), _row.seq.desc()), limit)


def oldest(connection: Connection, query: TrailQuery, *, after: int, limit: int) -> Sequence[TrailEntry]:
    """Entries, as they were written, that are newer than entry ``after``: none is left out by a clock that is wrong."""
    conditions = [*_conditions(query), _row.seq > after]
    if query.about is not None:
        conditions.append(or_(*(column == query.about for column in _SUBJECTS)))
    return _entries(connection, conditions, (_row.seq.asc(),), limit)


def _earlier(before: int | None) -> tuple[ColumnElement[bool], ...]:
    return () if before is None else (_row.seq < before,)


def _about(
    connection: Connection, subject: str, conditions: Sequence[ColumnElement[bool]], limit: int
) -> Sequence[TrailEntry]:
    """The newest of a record, a group or an operation: of each by its own index, which one OR would not use."""
    parts = [
        select(_row.seq).where(column == subject, *conditions).order_by(_row.seq.desc()).limit(limit).subquery()
        for column in _SUBJECTS
    ]
    found = union(*(select(part.c.seq) for part in parts))
    return _entries(connection, [_row.seq.in_(found)], (_row.seq.desc(),), limit)


def _entries(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], order: Sequence[Any], limit: int
) -> Sequence[TrailEntry]:
    found = connection.execute(select(*_ENTRY).where(*conditions).order_by(*order).limit(limit))
    return [TrailEntry(**row._mapping) for row in found]


def _conditions(query: TrailQuery) -> list[ColumnElement[bool]]:
    """Of everything but what it is about."""
    conditions: list[ColumnElement[bool]] = []
    # an index of a part of the rows serves where a condition says that it is that part
    if query.actor is not None:
        conditions.append(_row.actor == query.actor)
        conditions += [literal_column(BY_PEOPLE)] * (query.actor not in MACHINES)
    if query.event is not None:
        conditions.append(_row.event == query.event)
        conditions += [literal_column(SELDOM)] * (query.event not in USUAL)
    if query.since is not None:
        conditions.append(_row.at >= query.since)
    if query.until is not None:
        conditions.append(_row.at < query.until)
    return conditions
