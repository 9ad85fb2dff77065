"""Leases: what only one process does at a time, by the clock of the database [sqlalchemy]."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, delete, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from fluxora_tasks.ledger.models import LeaseRow

#: Seconds since 1970 in the days of SQLite.
_EPOCH: Final = "(julianday('now') - 2440587.5) * 86400.0"

_row = LeaseRow


def acquire_or_renew(connection: Connection, name: str, owner: str, seconds: float) -> bool:
    """Have the lease for so long from now, unless somebody else has it; one statement."""
    now = _now(connection)
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(_row).values(name=name, owner=owner, until=now + seconds)
    statement = statement.on_conflict_do_update(
        index_elements=[_row.name],
        set_={"owner": statement.excluded.owner, "until": statement.excluded.until},
        where=(_row.owner == owner) | (_row.until <= now),
    ).returning(_row.owner)
    return connection.execute(statement).scalar() == owner


def release(connection: Connection, name: str, owner: str) -> None:
    """Give the lease back, if it is this owner's."""
    connection.execute(delete(_row).where(_row.name == name, _row.owner == owner))


def holder(connection: Connection, name: str) -> str | None:
    """Who has the lease now."""
    query = select(_row.owner).where(_row.name == name, _row.until > _now(connection))
    return connection.execute(query).scalar()


def _now(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        return func.extract("epoch", func.clock_timestamp())
    return literal_column(_EPOCH)
