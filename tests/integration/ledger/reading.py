"""Rows of the ledger as plain mappings, for comparing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from fluxora_tasks.ledger.models import (
    Base,
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    GroupRow,
    ReplayItemRow,
    table_of,
)
from fluxora_tasks.ledger.standing import Status


def rows(engine: Engine, of: type[Base], **equal: Any) -> list[dict[str, Any]]:
    """Rows whose columns have these values, in the order of their keys."""
    table = table_of(of)
    query = select(table).order_by(*table.primary_key.columns)
    for name, value in equal.items():
        query = query.where(table.c[name] == value)
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def record(engine: Engine, dead_id: str) -> dict[str, Any]:
    """One record's row."""
    (row,) = rows(engine, DeadLetterRow, id=dead_id)
    return row


#: What depends on when the ledger learnt something, and in how many steps.
_PATH = {"version", "status_at", "recorded_at"}


def outcome(engine: Engine, dead_id: str) -> tuple[dict[str, Any], list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Everything stored about a record that must not depend on the order of its notes."""
    row = {name: value for name, value in record(engine, dead_id).items() if name not in _PATH}
    attempts = rows(engine, DeadAttemptRow, dead_letter_id=dead_id)
    items = [
        (item["replay_no"], item["state"], item["active"])
        for item in rows(engine, ReplayItemRow, dead_letter_id=dead_id)
    ]
    told = [(view["view"], view["search_text"]) for view in rows(engine, DeadLetterViewRow, dead_letter_id=dead_id)]
    return row, attempts, [*items, *told]


#: Records by group and status, and failures by group.
Counts = tuple[dict[tuple[str, str], int], dict[str, int]]


def counted(engine: Engine) -> Counts:
    """What the groups say they count."""
    found = rows(engine, GroupRow)
    places = {(row["id"], status.value): row[status.lower()] for row in found for status in Status}
    return {place: count for place, count in places.items() if count}, {row["id"]: row["failures"] for row in found}


def recounted(engine: Engine) -> Counts:
    """The same, counted."""
    record, failure = DeadLetterRow, DeadAttemptRow
    by_place = (
        select(record.group_id, record.status, func.count())
        .where(record.group_id.is_not(None))
        .group_by(record.group_id, record.status)
    )
    by_group = select(failure.group_id, func.count()).where(failure.group_id.is_not(None)).group_by(failure.group_id)
    with engine.connect() as connection:
        places = {(row[0], row[1]): row[2] for row in connection.execute(by_place)}
        return places, {row[0]: row[1] for row in connection.execute(by_group)}
