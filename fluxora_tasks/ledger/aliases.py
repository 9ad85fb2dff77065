"""Groups that people said are one: who stands for whom [sqlalchemy].

A group that was merged into another keeps its own counts, and its records their fingerprints; it is another name of its
head, and no name of a head is ever another's alias.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, func, select, text

from fluxora_tasks.ledger.filters import And, Filter, Not, Or, Term, any_of, terms_of
from fluxora_tasks.ledger.models import AnyRow, GroupRow
from fluxora_tasks.ledger.rows import ID_LENGTH, storable
from fluxora_tasks.ledger.statements import among

_row = GroupRow

#: Key of PostgreSQL's advisory lock on who stands for whom: "aliases" in ASCII.
_LOCK: Final = 0x616C6961736573


def hold(connection: Connection) -> None:
    """Nobody merges or parts groups until this transaction ends; called before any row of a group is locked."""
    _lock(connection, "pg_advisory_xact_lock_shared")


def change(connection: Connection) -> None:
    """This transaction alone merges or parts groups; called before any row of a group is locked."""
    _lock(connection, "pg_advisory_xact_lock")


def _lock(connection: Connection, function: str) -> None:
    # of SQLite's writers there is one at a time anyway
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT {function}(:key)"), {"key": _LOCK})


def known(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Id of a group -> who it stands under, its head or itself; of those that there are."""
    query = select(_row.id, _row.merged_into).where(among(connection, _row.id, ids))
    return {row.id: row.merged_into or row.id for row in connection.execute(query)}


def members(connection: Connection, ids: Iterable[str], *columns: object) -> dict[str, list[AnyRow]]:
    """Head -> its aliases, in the order of their ids; ``columns`` are read of each beside its id and its head's."""
    query = select(_row.id, _row.merged_into, *columns).where(among(connection, _row.merged_into, ids))
    found: dict[str, list[AnyRow]] = defaultdict(list)
    for row in connection.execute(query.order_by(_row.id)):
        found[row.merged_into].append(row)
    return found


def ids_starting_with(connection: Connection, prefix: str, *, limit: int, of_heads: bool) -> list[str]:
    """At most so many ids that begin so; of aliases their own, or those of their heads."""
    start = storable(prefix, ID_LENGTH)
    found = func.coalesce(_row.merged_into, _row.id) if of_heads else _row.id
    query = select(found).where(_row.id.startswith(start, autoescape=True)).distinct().order_by(found).limit(limit)
    return list(connection.execute(query).scalars())


def expanded(connection: Connection, node: Filter) -> Filter:
    """A filter in which the id of a group, or of an alias of it, means all that is one with it; patterns stay."""
    named = {term.value for term in terms_of(node) if _names_a_group(term)}
    if not named:
        return node
    of = known(connection, named)
    aliases = members(connection, set(of.values()))
    return _expanded(node, {id: _one(of.get(id, id), aliases) for id in named})


def _one(head: str, aliases: Mapping[str, Sequence[AnyRow]]) -> Filter:
    return any_of(Term("group", head), *(Term("group", row.id) for row in aliases.get(head, ())))


def _expanded(node: Filter, meant: Mapping[str, Filter]) -> Filter:
    if isinstance(node, Term):
        return meant[node.value] if _names_a_group(node) else node
    if isinstance(node, Not):
        return Not(_expanded(node.part, meant))
    parts = tuple(_expanded(part, meant) for part in node.parts)
    return any_of(*parts) if isinstance(node, Or) else And(parts)


def _names_a_group(term: Term) -> bool:
    return term.field == "group" and not term.is_wild and bool(term.value)
