"""Which way a list is read, and how far it is counted [sqlalchemy].

Few candidates lead: they are looked up and sorted. Otherwise the list is walked along an index in its order, where
matches come soon because they are many. A total that is not to be had from the index of a list alone stops early.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, true, tuple_, union_all

from fluxora_tasks.ledger.conditions import Candidates, are_words, candidates_of, condition_of, indexed
from fluxora_tasks.ledger.cursors import Place
from fluxora_tasks.ledger.filters import And, Filter, Term, all_of, terms_of
from fluxora_tasks.ledger.models import DeadLetterRow

_row = DeadLetterRow

#: Candidates that may lead; a total that is exact.
FEW: Final = 5000
MOST_COUNTED: Final = 10_000

#: Rows looked at for a total: where their own columns answer, and where their views have to be read.
MOST_WALKED: Final = 20_000
MOST_READ: Final = 1500

#: Fields whose index is in the order of the list, with the status in it.
_LISTS: Final = frozenset({"task", "queue", "kind", "exception", "host", "group", "release"})

#: Fields that other tables answer.
_ELSEWHERE: Final = frozenset({"body", "header", "text", "op", "outcome", "unconfirmed"})


@dataclass(frozen=True, slots=True)
class Total:
    """``number``: at least so many, or exactly so many."""

    number: int
    is_exact: bool


def lead(connection: Connection, node: Filter) -> ColumnElement[bool] | None:
    """The condition of a filter led by its candidates; ``None`` where they are not few."""
    dialect = connection.dialect.name
    for candidates in candidates_of(node, dialect):
        if _are_few(connection, candidates):
            return and_(_is_one_of(candidates, dialect), condition_of(node, dialect))
    return None


def led_or_not(connection: Connection, node: Filter) -> ColumnElement[bool]:
    """The condition of a filter, led by its candidates where they are few."""
    led = lead(connection, node)
    return walked(node, connection.dialect.name) if led is None else led


def walked(node: Filter, dialect: str) -> ColumnElement[bool]:
    """The condition of a filter whose list is read along its index."""
    listed, rest = _split(node)
    return and_(true(), *(indexed(term, dialect) for term in listed), condition_of(all_of(*rest), dialect))


def all_places(connection: Connection, led: ColumnElement[bool]) -> list[Place]:
    """Where all that a led filter finds stand, newest first."""
    found = connection.execute(select(_row.last_failed_at, _row.id).where(led)).all()
    return sorted(((row[0], row[1]) for row in found), reverse=True)


def count(connection: Connection, node: Filter) -> Total:
    """How many there are, of a filter that nothing leads, as far as that can be told in the time of a page."""
    dialect = connection.dialect.name
    listed, rest = _split(node)
    condition, end = walked(node, dialect), None
    if not rest and all(term.field == "status" for term in listed):
        return Total(_count(connection, select(func.count()).select_from(_row).where(condition)), True)
    if rest:
        is_elsewhere = any(term.field.partition(".")[0] in _ELSEWHERE for term in terms_of(node))
        before = and_(true(), *(indexed(term, dialect) for term in listed))
        end = _end_of_walk(connection, before, MOST_READ if is_elsewhere else MOST_WALKED)
    if end is not None:
        condition = and_(condition, tuple_(_row.last_failed_at, _row.id) >= tuple_(*end))
    some = select(_row.id).where(condition).limit(MOST_COUNTED + 1).subquery()
    number = _count(connection, select(func.count()).select_from(some))
    return Total(min(number, MOST_COUNTED), end is None and number <= MOST_COUNTED)


def _split(node: Filter) -> tuple[list[Term], list[Filter]]:
    """What the index of one list answers alone, and the rest."""
    parts = node.parts if isinstance(node, And) else (node,)
    named = [part for part in parts if isinstance(part, Term) and part.field in _LISTS and not part.is_wild]
    listed = named[:1] + [part for part in parts if isinstance(part, Term) and part.field == "status"]
    return listed, [part for part in parts if part not in listed]


def _end_of_walk(connection: Connection, condition: ColumnElement[bool], most: int) -> Any:
    """Place of the last row that is looked at; ``None`` where there are fewer."""
    query = select(_row.last_failed_at, _row.id).where(condition)
    newest = query.order_by(_row.last_failed_at.desc(), _row.id.desc())
    return connection.execute(newest.offset(most).limit(1)).one_or_none()


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar_one())


def _are_few(connection: Connection, candidates: Candidates) -> bool:
    number = 0
    for some in candidates:
        number += _estimated(connection, some) if are_words(some) else _counted(connection, some)
        if number > FEW:
            return False
    return True


def _counted(connection: Connection, candidates: Select[Any]) -> int:
    """How many, up to one more than few."""
    return _count(connection, select(func.count()).select_from(candidates.limit(FEW + 1).subquery()))


def _estimated(connection: Connection, candidates: Select[Any]) -> int:
    """How many the server thinks there are."""
    compiled = candidates.compile(dialect=connection.dialect)
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", _bound(compiled)).scalar_one()
    plan = json.loads(explained) if isinstance(explained, str) else explained
    return int(plan[0]["Plan"]["Plan Rows"])


def _bound(compiled: Any) -> dict[str, Any]:
    """Parameters as the driver takes them."""
    processors = compiled._bind_processors
    return {name: processors[name](value) if name in processors else value for name, value in compiled.params.items()}


def _is_one_of(candidates: Candidates, dialect: str) -> ColumnElement[bool]:
    ids = candidates[0] if len(candidates) == 1 else select(union_all(*candidates).subquery().c[0])
    return _row.id.in_(ids) if dialect == "sqlite" else _row.id == func.any(func.array(ids.scalar_subquery()))
