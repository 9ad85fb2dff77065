"""Which records an operation takes [sqlalchemy]: counted for its plan, and listed page by page, oldest first.

The only place that knows how ids and filters find records.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, tuple_

from fluxora_tasks.bulk.operation import TAKEN, Count, Kind, Plan, Selector
from fluxora_tasks.bulk.outcomes import group_of
from fluxora_tasks.ledger.filters import STORED, Filter, Not, Or, Term, mentions, parse
from fluxora_tasks.ledger.leading import led_or_not
from fluxora_tasks.ledger.models import AnyRow, DeadLetterRow
from fluxora_tasks.ledger.search import chunks
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.ledger.statements import among

#: Names that a plan lists of each sort.
_LISTED: Final = 20

_row = DeadLetterRow

#: Records whose headers a plan looks into, and what those of a group or a chord have in them.
LOOKED_INTO: Final = 1000
_IN_A_GROUP: Final = '%"group":"%'

#: The columns that ``group_of`` reads.
GROUPED: Final = (_row.group_id, _row.kind, _row.task, _row.exception_name)


@dataclass(frozen=True, slots=True)
class Listed:
    """One record of a selection. ``why``: it is skipped at once for that."""

    id: str
    group: str | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a selection. ``key``: where the next ones begin."""

    records: Sequence[Listed]
    key: str
    is_last: bool


@dataclass(slots=True)
class Counted:
    """What a selection comes to.

    Attributes:
        plan: Without time and warnings.
        pairs: Tasks and the queues their messages come from, the most frequent first.
    """

    plan: Plan
    pairs: Sequence[tuple[str, str]]


@dataclass(slots=True)
class _Sums:
    """Numbers by name, while they are added up."""

    total: int = 0
    size: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    by: dict[str, Counter[str]] = field(default_factory=dict)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, row: AnyRow) -> None:
        """One group of equal records that are taken."""
        self.total += row.records
        self.size += int(row.bytes or 0)
        self.oldest = min(filter(None, (self.oldest, row.oldest)))
        self.newest = max(filter(None, (self.newest, row.newest)))
        self.pairs[row.task, row.queue] += row.records
        names = {"tasks": row.task, "queues": row.queue, "kinds": row.kind, "statuses": row.status}
        for sort, name in {**names, "groups": group_of(row)}.items():
            self.by.setdefault(sort, Counter())[name] += row.records


def counts(connection: Connection, kind: Kind, selector: Selector, cutoff: datetime) -> Counted:
    """Count what would be taken, and what matches but would not."""
    sums = _Sums()
    taken = (true() if _names_statuses(selector) else _taken(kind)).label("is_taken")
    keys = (_row.status, _row.queue, *GROUPED)
    figures = (
        func.count().label("records"),
        func.sum(_row.size).label("bytes"),
        func.min(_row.last_failed_at).label("oldest"),
        func.max(_row.last_failed_at).label("newest"),
    )
    for condition in _conditions(connection, selector, cutoff):
        for row in connection.execute(select(taken, *keys, *figures).where(condition).group_by("is_taken", *keys)):
            if row.is_taken:
                sums.add(row)
            else:
                sums.left_out[row.status] += row.records
    sorts: dict[str, Any] = {name: _most(counter) for name, counter in sums.by.items()}
    plan = Plan(
        total=sums.total,
        size=sums.size,
        oldest=_moment(sums.oldest),
        newest=_moment(sums.newest),
        left_out=_most(sums.left_out),
        **sorts,
    )
    return Counted(plan, [pair for pair, _ in sums.pairs.most_common(_LISTED)])


def page(connection: Connection, kind: Kind, selector: Selector, *, after: str, cutoff: datetime, limit: int) -> Page:
    """The records after a key (empty: the first ones)."""
    if selector.ids:
        return _page_of_ids(connection, selector.ids, after, cutoff, limit)
    (condition,) = _conditions(connection, selector, cutoff)
    if not _names_statuses(selector):
        condition = and_(condition, _taken(kind))
    if after:
        moment, dead_id = json.loads(after)
        place = tuple_(datetime.fromisoformat(moment), dead_id)
        condition = and_(condition, tuple_(_row.last_failed_at, _row.id) > place)
    query = select(_row.id, _row.last_failed_at, *GROUPED).where(condition)
    found = connection.execute(query.order_by(_row.last_failed_at, _row.id).limit(limit)).all()
    key = json.dumps([found[-1].last_failed_at.isoformat(), found[-1].id]) if found else after
    return Page([Listed(row.id, group_of(row)) for row in found], key, len(found) < limit)


def canvas_members(connection: Connection, kind: Kind, selector: Selector, cutoff: datetime) -> int:
    """How many of the first ``LOOKED_INTO`` records belong to a group or a chord."""
    found = 0
    for condition in _conditions(connection, selector, cutoff):
        taken = condition if _names_statuses(selector) else and_(condition, _taken(kind))
        first = select(_row.headers).where(taken).order_by(_row.last_failed_at, _row.id).limit(LOOKED_INTO).subquery()
        query = select(func.count()).select_from(first).where(first.c.headers.like(_IN_A_GROUP))
        found += connection.execute(query).scalar_one()
    return found


def oldest_first(connection: Connection, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids, each once, in the order in which their records last failed; unknown ones last."""
    failed: dict[str, datetime] = {}
    wanted = list(dict.fromkeys(ids))
    for chunk in chunks(wanted):
        rows = connection.execute(select(_row.id, _row.last_failed_at).where(among(connection, _row.id, chunk)))
        failed.update({row.id: row.last_failed_at for row in rows})
    known = sorted(failed, key=lambda dead_id: (failed[dead_id], dead_id))
    return (*known, *(dead_id for dead_id in wanted if dead_id not in failed))


def takes_quarantined(selector: Selector) -> bool:
    """Whether FAILED records were named: by their ids, or by a filter on statuses that lets them pass."""
    return bool(selector.ids) or (_names_statuses(selector) and _may_pass(_filter_of(selector), Status.FAILED))


def _page_of_ids(connection: Connection, ids: Sequence[str], after: str, cutoff: datetime, limit: int) -> Page:
    """By place; an id that leads to nothing, or to news since the plan, is listed as skipped."""
    start = int(after or 0)
    wanted = ids[start : start + limit]
    found: dict[str, AnyRow] = {}
    for chunk in chunks(wanted):
        query = select(_row.id, _row.last_failed_at, *GROUPED).where(among(connection, _row.id, chunk))
        found.update({row.id: row for row in connection.execute(query)})
    records = [_listed(dead_id, found.get(dead_id), cutoff) for dead_id in wanted]
    end = start + len(wanted)
    return Page(records, str(end), end >= len(ids))


def _listed(dead_id: str, row: AnyRow | None, cutoff: datetime) -> Listed:
    if row is None:
        return Listed(dead_id, None, "unknown")
    return Listed(dead_id, group_of(row), "state_changed" if row.last_failed_at > cutoff else "")


def _conditions(connection: Connection, selector: Selector, cutoff: datetime) -> Iterator[ColumnElement[bool]]:
    """What finds the records, in as many questions as the parameters of a statement need."""
    in_time = _row.last_failed_at <= cutoff
    if selector.ids:
        yield from (and_(among(connection, _row.id, chunk), in_time) for chunk in chunks(selector.ids))
    elif selector.all:
        yield and_(true(), in_time)
    else:
        yield and_(led_or_not(connection, _filter_of(selector)), in_time)


def _names_statuses(selector: Selector) -> bool:
    return bool(selector.ids) or mentions(_filter_of(selector), "status")


def _may_pass(node: Filter, status: Status, others: bool = True) -> bool:
    """Whether a filter holds for a status, where its terms on anything else hold, or do not."""
    if isinstance(node, Term):
        return node.value == status if node.field == "status" else others
    if isinstance(node, Not):
        return not _may_pass(node.part, status, not others)
    return (any if isinstance(node, Or) else all)(_may_pass(part, status, others) for part in node.parts)


def _filter_of(selector: Selector) -> Filter:
    return parse(selector.filter, bounds=STORED)


def _taken(kind: Kind) -> ColumnElement[bool]:
    by_status = _row.status.in_([status.value for status in TAKEN[kind]])
    if kind is not Kind.RESTORE:
        return by_status
    is_own_success = _row.confirmed_no.is_not(None) & (_row.confirmed_no == _row.replay_no)
    return or_(by_status, and_(_row.status == Status.RESOLVED.value, _row.decided, ~is_own_success))


def _most(counter: Counter[Any]) -> tuple[Count, ...]:
    return tuple(Count(name, records) for name, records in counter.most_common(_LISTED))


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
