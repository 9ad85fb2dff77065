"""Many rows in one statement, the way each database likes it [sqlalchemy].

PostgreSQL gets one JSON document: with a parameter per value, or an array per column, its client spends more
time on the parameters than the server on the rows. SQLite gets one small prepared statement, run per row; its
writer is alone, so it can be asked beforehand which keys exist.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    LargeBinary,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql

#: Keys per question to SQLite; well below the number of parameters it takes.
_ASKED: Final = 500

Rows = Sequence[dict[str, Any]]


def among(connection: Connection, of: Any, keys: Iterable[str]) -> Any:
    """
    Whether a column has one of the keys.

    PostgreSQL gets one array: of a parameter per key its client takes a statement of hundreds of them apart anew each
    time, which costs more than the rows.
    """
    wanted = list(keys)
    if connection.dialect.name != "postgresql":
        return of.in_(wanted)
    return of == any_(bindparam(None, wanted, type_=postgresql.ARRAY(Text)))


def insert_new(connection: Connection, table: Table, key: str, rows: Rows) -> set[str]:
    """Insert the rows whose key is not there yet; returns the keys that were inserted.

    Every row has the same columns, and no key comes twice.
    """
    if not rows:
        return set()
    if connection.dialect.name == "postgresql":
        return set(connection.execute(_from_document(table, tuple(rows[0]), key), _document(rows)).scalars())
    known = _known_keys(connection, table.c[key], [row[key] for row in rows])
    fresh = [row for row in rows if row[key] not in known]
    _run_per_row(connection, table, fresh)
    return {row[key] for row in fresh}


def insert_all(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows that all have the same columns."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_from_document(table, tuple(rows[0]), None), _document(rows))
    else:
        _run_per_row(connection, table, rows)


def update_all(connection: Connection, table: Table, rows: Rows) -> int:
    """
    Change rows; returns how many there were.

    Every row has the same columns: ``id`` says which one is meant, the others what it becomes.
    """
    return _update(connection, table, rows, ("id",))


def update_seen(connection: Connection, table: Table, rows: Rows) -> int:
    """As ``update_all``, of rows that are still of the ``version`` seen, which grows by one."""
    return _update(connection, table, rows, ("id", "version"))


def _update(connection: Connection, table: Table, rows: Rows, key: tuple[str, ...]) -> int:
    if not rows:
        return 0
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        return connection.execute(_update_from_document(table, names, key), _document(rows)).rowcount
    return _run(connection, _prepared_update(table, names, key, connection.dialect), rows)


class EachRow:
    """A change of many rows by values that are given for each: one statement on PostgreSQL, one per row on SQLite.

    Where two of the given rows mean one row of the table, PostgreSQL takes either of them.

    Args:
        table: What is changed.
        given: The values of each row and their types; no name is that of a column.
        change: Of the given values, as columns by name: which row is meant, and what becomes of it.
    """

    def __init__(
        self,
        table: Table,
        given: Mapping[str, Any],
        change: Callable[[Mapping[str, Any]], tuple[ColumnElement[bool], Mapping[str, Any]]],
    ) -> None:
        self._per_row = _changed(table, *change({name: bindparam(name, type_=kind) for name, kind in given.items()}))
        record = _recordset([column(name, kind) for name, kind in given.items()])
        self._at_once = _changed(table, *change({name: record.c[name] for name in given}))

    def run(self, connection: Connection, rows: Rows) -> None:
        """Change what these rows mean."""
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(self._at_once, _document(rows))
        else:
            connection.execute(self._per_row, rows)


def _changed(table: Table, meant: ColumnElement[bool], becomes: Mapping[str, Any]) -> Any:
    return update(table).where(meant).values(becomes)


def _run_per_row(connection: Connection, table: Table, rows: Rows) -> None:
    if rows:
        _run(connection, _prepared(table, tuple(rows[0]), connection.dialect), rows)


#: A statement's text, what takes its values from a row, and what makes some of them values of the driver.
_Prepared = tuple[str, Any, list[tuple[int, Any]]]


def _run(connection: Connection, prepared: _Prepared, rows: Rows) -> int:
    """One prepared statement over tuples: the general way costs more than SQLite's own work."""
    statement, values_of, processed = prepared
    parameters = [list(values_of(row)) for row in rows]
    for place, process in processed:
        for values in parameters:
            values[place] = process(values[place])
    return connection.exec_driver_sql(statement, list(map(tuple, parameters))).rowcount


@cache
def _prepared(table: Table, names: tuple[str, ...], dialect: Dialect) -> _Prepared:
    statement = str(insert(table).compile(dialect=dialect, column_keys=list(names)))
    return _in_order(statement, table, [column.name for column in table.columns if column.name in names], dialect)


@cache
def _prepared_update(table: Table, names: tuple[str, ...], key: tuple[str, ...], dialect: Dialect) -> _Prepared:
    changed = [name for name in names if name not in key]
    becomes = ["version = version + 1"] * ("version" in key) + [f'"{name}" = ?' for name in changed]
    meant = " AND ".join(f"{name} = ?" for name in key)
    statement = f"UPDATE {table.name} SET {', '.join(becomes)} WHERE {meant}"  # noqa: S608 - our own names
    return _in_order(statement, table, [*changed, *key], dialect)


def _in_order(statement: str, table: Table, order: Sequence[str], dialect: Dialect) -> _Prepared:
    processors = (table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in order)
    return statement, itemgetter(*order), [(place, process) for place, process in enumerate(processors) if process]


@cache
def _update_from_document(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> Any:
    """``UPDATE … FROM json_to_recordset(:rows)``."""
    record = _recordset([table.c[name] for name in names])
    becomes = {name: _restored(record.c[name], table.c[name].type) for name in names if name not in key}
    if "version" in key:
        becomes["version"] = table.c.version + 1
    return _changed(table, and_(*(table.c[name] == record.c[name] for name in key)), becomes)


@cache
def _from_document(table: Table, names: tuple[str, ...], key: str | None) -> Any:
    """``INSERT … SELECT … FROM json_to_recordset(:rows)``, with a key only where that is new."""
    columns = [table.c[name] for name in names]
    record = _recordset(columns)
    source = [_restored(record.c[item.name], item.type) for item in columns]
    statement = postgresql.insert(table).from_select(list(names), select(*source))
    if key is None:
        return statement
    return statement.on_conflict_do_nothing(index_elements=[key]).returning(table.c[key])


def _recordset(columns: Iterable[Any]) -> Any:
    return (
        func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
        .table_valued(*(column(item.name, _carried_as(item.type)) for item in columns))
        .render_derived("record", with_types=True)
    )


def _carried_as(kind: Any) -> Any:
    """How a value travels in JSON."""
    return Text() if isinstance(kind, LargeBinary) else kind


def _restored(value: Any, kind: Any) -> Any:
    return type_coerce(func.decode(value, "base64"), kind) if isinstance(kind, LargeBinary) else value


def _document(rows: Rows) -> dict[str, str]:
    return {"rows": json.dumps(rows, default=_as_text, ensure_ascii=False, check_circular=False)}


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode("ascii")


def _known_keys(connection: Connection, of: Any, keys: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(keys), _ASKED):
        wanted = keys[start : start + _ASKED]
        known.update(connection.execute(select(of).where(of.in_(wanted))).scalars())
    return known
