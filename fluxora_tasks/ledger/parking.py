"""Raw messages that could not become records: kept, counted, listed, and tried again [sqlalchemy]."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fluxora_tasks.deadletter.envelope import Note, Payload
from fluxora_tasks.ledger.models import FailedImportRow
from fluxora_tasks.ledger.records import FailedImport
from fluxora_tasks.ledger.rows import LABEL_LENGTH, MESSAGE_LENGTH, UnstorableNote, as_json, storable

_row = FailedImportRow
_SHOWN: Final = tuple(getattr(_row, name) for name in FailedImport.__slots__)


class Reader(Protocol):
    """Says what a raw message says, and why one says nothing."""

    def read(self, payload: Payload) -> Note: ...

    def reason(self, error: Exception) -> str: ...


def reason(error: Exception) -> str:
    """What is wrong with a message; of what a database says only the first line, since the others quote the row."""
    lines = str(getattr(error, "orig", error)).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def park(connection: Connection, payload: Payload, error: str, now: datetime) -> None:
    """Keep a message, with its bytes; one that is there already is counted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(_row).on_conflict_do_update(index_elements=[_row.digest], set_={"seen": _row.seen + 1})
    connection.execute(statement, _columns(payload, error, now))


def page(connection: Connection, *, after: int, limit: int) -> Sequence[FailedImport]:
    """Parked messages, oldest first, that come after number ``after``."""
    found = connection.execute(select(*_SHOWN).where(_row.seq > after).order_by(_row.seq).limit(limit))
    return [FailedImport(**row._mapping) for row in found]


def payload(connection: Connection, seq: int) -> Payload | None:
    """A parked message as received."""
    columns = (_row.body, _row.content_type, _row.content_encoding, _row.headers, _row.properties)
    row = connection.execute(select(*columns).where(_row.seq == seq)).one_or_none()
    if row is None:
        return None
    return Payload(
        bytes(row.body), row.content_type, row.content_encoding, json.loads(row.headers), json.loads(row.properties)
    )


def forget(connection: Connection, seq: int) -> None:
    """Drop a parked message that became a record after all."""
    connection.execute(delete(_row).where(_row.seq == seq))


def failed_again(connection: Connection, seq: int, error: str) -> None:
    """Note why a message could still not become a record."""
    connection.execute(update(_row).where(_row.seq == seq).values(error=storable(error, MESSAGE_LENGTH)))


def count(connection: Connection) -> int:
    """Messages that could not become a record, as often as they came."""
    return int(connection.execute(select(func.coalesce(func.sum(_row.seen), 0))).scalar_one())


def _columns(payload: Payload, error: str, now: datetime) -> dict[str, Any]:
    return {
        "digest": _digest(payload),
        "at": now,
        "seen": 1,
        "size": len(payload.body),
        "content_type": storable(payload.content_type or "", LABEL_LENGTH) or None,
        "content_encoding": storable(payload.content_encoding or "", LABEL_LENGTH) or None,
        "error": storable(error, MESSAGE_LENGTH),
        "headers": _json_or_nothing(payload.headers),
        "properties": _json_or_nothing(payload.properties),
        "body": payload.body,
    }


def _json_or_nothing(value: Any) -> str:
    try:
        return as_json(value)
    except UnstorableNote:
        return "{}"


def _digest(payload: Payload) -> str:
    """The same for a message and its redelivery, which differ in where and how often they were delivered."""
    headers = {name: value for name, value in payload.headers.items() if name != "redelivered"}
    properties = {name: value for name, value in payload.properties.items() if name != "delivery_info"}
    label = json.dumps([payload.content_type, _json_or_nothing(headers), _json_or_nothing(properties)])
    return hashlib.sha256(label.encode() + b"\x00" + payload.body).hexdigest()
