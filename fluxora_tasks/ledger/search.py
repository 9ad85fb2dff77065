"""Questions to the ledger [sqlalchemy]: filters, pages by key, one whole record."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from fluxora_tasks.deadletter.envelope import Payload, View
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.filters import Term
from fluxora_tasks.ledger.models import (
    AnyRow,
    AuditEventRow,
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    ReplayItemRow,
    TombstoneRow,
)
from fluxora_tasks.ledger.records import Attempt, AuditEvent, Group, Letter, LetterPage, Story
from fluxora_tasks.ledger.rows import NAME_LENGTH, storable
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.ledger.views import read_view

#: Ids per statement; well below the number of bound parameters any database takes.
CHUNK: Final = 500

_row = DeadLetterRow

_SUMMARY: Final = (
    *(_row.id, _row.status, _row.kind, _row.task, _row.task_id, _row.queue, _row.exception_type),
    *(_row.message, _row.attempts, _row.replays, _row.first_failed_at, _row.last_failed_at),
    *(_row.group_id.label("group"), _row.size),
)


class matches(FunctionElement[bool]):
    """Column against a pattern of ``*``, case kept: GLOB on SQLite (its LIKE ignores case), else LIKE."""

    inherit_cache = True
    name = "matches"


@compiles(matches, "sqlite")
def _glob(element: Any, compiler: Any, **options: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **options)} GLOB {compiler.process(pattern, **options)}"


@compiles(matches)
def _like(element: Any, compiler: Any, **options: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **options)} LIKE {compiler.process(pattern, **options)}"


def page(connection: Connection, terms: Sequence[Term], *, limit: int, cursor: str | None) -> LetterPage:
    """One page, newest failure first.

    Raises:
        ConfigurationError: the cursor is none of ours.
    """
    condition = _condition(connection, terms)
    query = select(*_SUMMARY).where(condition).order_by(_row.last_failed_at.desc(), _row.id.desc())
    if cursor is not None:
        moment, dead_id = read_cursor(cursor)
        query = query.where(tuple_(_row.last_failed_at, _row.id) < tuple_(moment, dead_id))
    found = connection.execute(query.limit(limit + 1)).all()
    letters = [letter_of(row) for row in found[:limit]]
    total = connection.execute(select(func.count()).select_from(_row).where(condition)).scalar_one()
    return LetterPage(letters, total, write_cursor(letters[-1]) if len(found) > limit else None)


def ids_matching(connection: Connection, terms: Sequence[Term], *, limit: int, status: Status) -> list[str]:
    """Ids, oldest failure first. Without a ``status`` term only those of ``status``: the rest has to be named."""
    condition = _condition(connection, terms)
    if not any(term.field == "status" for term in terms):
        condition = and_(condition, _row.status == status.value)
    query = select(_row.id).where(condition).order_by(_row.last_failed_at, _row.id).limit(limit)
    return list(connection.execute(query).scalars())


def ids_starting_with(connection: Connection, prefix: str, *, limit: int = 2) -> list[str]:
    """At most ``limit`` ids that begin so; a whole id finds itself alone."""
    prefix = storable(prefix, NAME_LENGTH)
    exact = connection.execute(select(_row.id).where(_row.id == prefix)).scalar()
    if exact is not None:
        return [exact]
    query = select(_row.id).where(_begins(connection, _row.id, prefix)).order_by(_row.id).limit(limit)
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
    """Records per status; every status is named."""
    found = connection.execute(select(_row.status, func.count()).group_by(_row.status)).all()
    return {status.value: 0 for status in Status} | {row[0]: row[1] for row in found}


def story(connection: Connection, dead_id: str) -> Story | None:
    """One record, whole."""
    columns = (
        *(_row.body, _row.content_type, _row.content_encoding, _row.headers, _row.properties),
        *(_row.traceback, _row.worker, _row.exchange, _row.routing_key, _row.message_id, _row.failures),
    )
    row = connection.execute(select(*_SUMMARY, *columns).where(_row.id == dead_id)).one_or_none()
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
    )


def _view(connection: Connection, dead_id: str) -> View | None:
    row = select(DeadLetterViewRow.view).where(DeadLetterViewRow.dead_letter_id == dead_id)
    return read_view(connection.execute(row).scalar())


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


def write_cursor(last: Letter | Group) -> str:
    """Where the page after this record, or group, starts; opaque to callers."""
    place = json.dumps([last.last_failed_at.isoformat(timespec="microseconds"), last.id])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """
    Raises:
        ConfigurationError: none of ours.
    """
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        moment, dead_id = json.loads(place)
        parsed = datetime.fromisoformat(moment)
        if parsed.tzinfo is None or storable(dead_id, NAME_LENGTH) != dead_id:
            raise ValueError(cursor)
    except (ValueError, TypeError) as exc:
        raise ConfigurationError(f"not a cursor of this list: {cursor[:80]!r}; start without one") from exc
    return parsed, dead_id


def chunks(items: Sequence[str], size: int = CHUNK) -> list[Sequence[str]]:
    """The items in slices that fit one statement."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _condition(connection: Connection, terms: Sequence[Term]) -> ColumnElement[bool]:
    return and_(true(), *(_term(connection, term) for term in terms))


_COLUMNS: Final = {
    "status": _row.status,
    "kind": _row.kind,
    "task": _row.task,
    "queue": _row.queue,
}


def _term(connection: Connection, term: Term) -> ColumnElement[bool]:
    value = storable(term.value, NAME_LENGTH)
    if term.field == "id":
        return _begins(connection, _row.id, value)
    pieces = value.split("*") if term.is_wild else [value]
    if term.field == "exception":
        return _exception(connection, pieces)
    return _fits(connection, _COLUMNS[term.field], pieces)


def _exception(connection: Connection, pieces: Sequence[str]) -> ColumnElement[bool]:
    """A qualified name, or the name alone: ``ValueError`` means that of any module."""
    whole, name = _row.exception_type, _row.exception_name
    is_qualified = any("." in piece for piece in pieces)
    if len(pieces) > 1:
        fits = _fits(connection, whole, pieces)
        return fits if is_qualified else or_(fits, _fits(connection, name, pieces))
    # the name has an index
    short = name == pieces[0].rpartition(".")[2]
    return and_(short, whole == pieces[0]) if is_qualified else short


def _begins(connection: Connection, column: Any, start: str) -> ColumnElement[bool]:
    return _fits(connection, column, [start, ""])


def _fits(connection: Connection, column: Any, pieces: Sequence[str]) -> ColumnElement[bool]:
    """Whether a column is these literal pieces with anything between them."""
    if len(pieces) == 1:
        return column == pieces[0]  # type: ignore[no-any-return]
    if connection.dialect.name == "sqlite":
        return matches(column, "*".join(re.sub(r"([*?[])", r"[\1]", piece) for piece in pieces))
    return matches(column, "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in pieces))


def _present(connection: Connection, column: Any, values: Iterable[str]) -> set[str]:
    wanted = list(dict.fromkeys(values))
    found: set[str] = set()
    for chunk in chunks(wanted):
        found.update(connection.execute(select(column).where(column.in_(chunk))).scalars())
    return found


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
