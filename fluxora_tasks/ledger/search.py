"""Questions to the ledger [sqlalchemy]: pages by key, selections, what is known of ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.ledger.conditions import begins
from fluxora_tasks.ledger.cursors import Place, comes_after, read_cursor, write_cursor
from fluxora_tasks.ledger.filters import Filter, Term, all_of, mentions
from fluxora_tasks.ledger.leading import all_places, count, lead, led_or_not, walked
from fluxora_tasks.ledger.models import AnyRow, DeadLetterRow, GroupRow, TombstoneRow
from fluxora_tasks.ledger.records import Letter, LetterPage
from fluxora_tasks.ledger.rows import NAME_LENGTH, storable
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.ledger.statements import among

#: Ids per statement; well below the number of bound parameters any database takes.
CHUNK: Final = 500

_row = DeadLetterRow

#: The columns of ``letter_of``.
SUMMARY: Final = (
    *(_row.id, _row.status, _row.kind, _row.task, _row.task_id, _row.queue, _row.exception_type),
    *(_row.message, _row.attempts, _row.replays, _row.first_failed_at, _row.last_failed_at),
    *(_row.group_id.label("group"), _row.size),
)


def page(connection: Connection, node: Filter, *, limit: int, cursor: str | None) -> LetterPage:
    """One page, newest failure first.

    Raises:
        ConfigurationError: the cursor is none of ours.
    """
    after = None if cursor is None else read_cursor(cursor)
    led = lead(connection, node)
    if led is not None:
        return _page_of_few(connection, all_places(connection, led), after, limit)
    query = _summaries(walked(node, connection.dialect.name))
    if after is not None:
        query = query.where(comes_after(_row.last_failed_at, _row.id, after))
    letters = [letter_of(row) for row in connection.execute(query.limit(limit + 1))]
    total = count(connection, node)
    return _cut(letters, limit, max(total.number, len(letters)), total.is_exact)


def _page_of_few(connection: Connection, places: Sequence[Place], after: Place | None, limit: int) -> LetterPage:
    """A page of records whose places are all known."""
    ids = [dead_id for moment, dead_id in places if after is None or (moment, dead_id) < after]
    found = connection.execute(_summaries(_row.id.in_(ids[: limit + 1])))
    return _cut([letter_of(row) for row in found], limit, len(places), True)


def _cut(letters: Sequence[Letter], limit: int, total: int, is_exact: bool) -> LetterPage:
    """A page, from its letters and the one behind them."""
    following = write_cursor(letters[limit - 1].last_failed_at, letters[limit - 1].id) if len(letters) > limit else None
    return LetterPage(letters[:limit], total, following, is_exact)


def _summaries(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(*SUMMARY).where(condition).order_by(_row.last_failed_at.desc(), _row.id.desc())


def ids_matching(connection: Connection, node: Filter, *, limit: int, status: Status) -> list[str]:
    """Ids, oldest failure first. Without a ``status`` term only those of ``status``: the rest has to be named."""
    if not mentions(node, "status"):
        node = all_of(node, Term("status", status.value))
    query = select(_row.id).where(led_or_not(connection, node))
    return list(connection.execute(query.order_by(_row.last_failed_at, _row.id).limit(limit)).scalars())


def ids_starting_with(connection: Connection, prefix: str, *, limit: int = 2) -> list[str]:
    """At most ``limit`` ids that begin so; a whole id finds itself alone."""
    prefix = storable(prefix, NAME_LENGTH)
    exact = connection.execute(select(_row.id).where(_row.id == prefix)).scalar()
    if exact is not None:
        return [exact]
    query = select(_row.id).where(begins(connection.dialect.name, _row.id, prefix)).order_by(_row.id).limit(limit)
    return list(connection.execute(query).scalars())


def existing(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are records."""
    return _present(connection, _row.id, ids)


def known_messages(connection: Connection, message_ids: Iterable[str]) -> set[str]:
    """Those of the message ids that a record stands for, or its tombstone."""
    wanted = list(message_ids)
    found = _present(connection, _row.message_id, wanted)
    return found | _present(connection, TombstoneRow.message_id, (one for one in wanted if one not in found))


def status_counts(connection: Connection) -> dict[str, int]:
    """Records per status; every status is named. Groups have counted theirs already."""
    columns = {status.value: getattr(GroupRow, status.value.lower()) for status in Status}
    summed = connection.execute(select(*(func.coalesce(func.sum(column), 0) for column in columns.values()))).one()
    counts = dict(zip(columns, map(int, summed), strict=True))
    alone = select(_row.status, func.count()).where(_row.group_id.is_(None)).group_by(_row.status)
    for status, records in connection.execute(alone):
        counts[status] += records
    return counts


def letter_of(row: AnyRow) -> Letter:
    """A row of the summary's columns."""
    return Letter(**{name: getattr(row, name) for name in Letter.__slots__})


def payload_of(row: AnyRow) -> Payload:
    """The message as received."""
    return Payload(
        body=bytes(row.body),
        content_type=row.content_type,
        content_encoding=row.content_encoding,
        headers=json.loads(row.headers),
        properties=json.loads(row.properties),
    )


def chunks(items: Sequence[str], size: int = CHUNK) -> list[Sequence[str]]:
    """The items in slices that fit one statement."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _present(connection: Connection, column: Any, values: Iterable[str]) -> set[str]:
    wanted = list(dict.fromkeys(values))
    found: set[str] = set()
    for chunk in chunks(wanted):
        found.update(connection.execute(select(column).where(among(connection, column, chunk))).scalars())
    return found
