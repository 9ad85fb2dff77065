"""Questions to the ledger [sqlalchemy]: pages by key, selections, one whole record."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_

from fluxora_tasks.deadletter.envelope import Payload, View
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.conditions import begins
from fluxora_tasks.ledger.filters import Filter, Term, all_of, mentions
from fluxora_tasks.ledger.leading import Place, all_places, count, lead, led_or_not, walked
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
        query = query.where(tuple_(_row.last_failed_at, _row.id) < tuple_(*after))
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
    following = write_cursor(letters[limit - 1]) if len(letters) > limit else None
    return LetterPage(letters[:limit], total, following, is_exact)


def _summaries(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(*_SUMMARY).where(condition).order_by(_row.last_failed_at.desc(), _row.id.desc())


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


def read_cursor(cursor: str) -> Place:
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
