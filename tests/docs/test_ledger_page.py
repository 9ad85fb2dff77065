"""The page on the ledger's tables is what the models say; ``python -m tests.docs.test_ledger_page`` writes it anew."""

from __future__ import annotations

import inspect
from pathlib import Path

from sqlalchemy import Column
from sqlalchemy.dialects import postgresql

from fluxora_tasks.ledger.models import Base

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "ledger.md"

_BEGIN, _END = "<!-- tables: made from the models by tests/docs/test_ledger_page.py -->\n", "<!-- /tables -->\n"


def tables() -> str:
    """Every table with its columns, in the order of the models."""
    rows = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    return "\n".join(_table(rows[table]) for table in Base.metadata.tables.values()) + "\n"


def _table(row: type[Base]) -> str:
    table = row.__table__
    lines = [
        f"### `{table.name}`",
        "",
        inspect.cleandoc(row.__doc__ or ""),
        "",
        "| column | type | may be empty |",
        "|---|---|---|",
    ]
    lines += [_column(column) for column in table.columns]
    return "\n".join([*lines, ""])


def _column(column: Column[object]) -> str:
    kind = column.type.compile(postgresql.dialect()).replace(' COLLATE "C"', "")
    marks = ", ".join(filter(None, ("key" if column.primary_key else "", _target(column))))
    return f"| `{column.name}` | {kind}{f' ({marks})' if marks else ''} | {'yes' if column.nullable else ''} |"


def _target(column: Column[object]) -> str:
    return "".join(f"of `{key.column.table.name}`" for key in column.foreign_keys)


def test_the_page_is_what_the_models_say() -> None:
    """To the letter."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.partition(_BEGIN)[2].partition(_END)[0] == tables()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    PAGE.write_text(before + _BEGIN + tables() + _END + rest.partition(_END)[2], encoding="utf-8")
