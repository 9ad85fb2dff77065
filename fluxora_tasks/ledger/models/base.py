"""What the tables have in common: types of columns, names of constraints [sqlalchemy]."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from fluxora_tasks.ledger.rows import ID_LENGTH, LABEL_LENGTH, NAME_LENGTH

#: A row of any columns.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, to the microsecond; stored so that it sorts (SQLite keeps it as text)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """On SQLite at once as text: the general way costs four times as much, eight times a record."""
        return _as_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware in, UTC to the database."""
        del dialect
        return None if value is None else _in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC out, aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {moment!r}")
    return moment.astimezone(UTC)


def _as_text(moment: datetime | None) -> str | None:
    """As SQLAlchemy writes it; it sorts."""
    return None if moment is None else _in_utc(moment).isoformat(" ", "microseconds")[:26]


def _indexed(length: int) -> TypeEngine[str]:
    """A text compared by its bytes, as SQLite does; so PostgreSQL's index serves a search by prefix, too."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


#: An id, a name, a label, a number that the database gives.
Id = _indexed(ID_LENGTH)
Name = _indexed(NAME_LENGTH)
Label = String(LABEL_LENGTH)
Serial = BigInteger().with_variant(Integer, "sqlite")


def where(condition: str) -> dict[str, Any]:
    """Keyword arguments of a partial index."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Base(DeclarativeBase):
    """Of every table; the names of constraints are fixed, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: Final[dict[Any, Any]] = {datetime: UtcDateTime, str: Text, bytes: LargeBinary}


def table_of(row: type[Base]) -> Table:
    """The table behind a class of rows."""
    assert isinstance(row.__table__, Table)
    return row.__table__
