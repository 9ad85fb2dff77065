"""Rows of the ledger as plain mappings, for comparing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from fluxora_tasks.ledger.models import Base, DeadAttemptRow, DeadLetterRow, ReplayItemRow, table_of


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
    return row, attempts, items
