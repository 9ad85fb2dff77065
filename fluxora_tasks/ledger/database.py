"""The database of the ledger [sqlalchemy, alembic]: engines, transactions, schema.

SQLite: write-ahead log, and every writing transaction begins IMMEDIATE; a deferred one that reads first and
writes later fails at once with "database is locked", or loses an update. PostgreSQL: psycopg 3.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fluxora_tasks.errors import ConfigurationError, LedgerUnavailable, MissingExtra
from fluxora_tasks.ledger.words import has_words

#: Seconds a statement of SQLite waits for another writer, and a connection to PostgreSQL for the server.
BUSY_TIMEOUT: Final = 30
CONNECT_TIMEOUT: Final = 10

#: Key of PostgreSQL's advisory lock around a schema upgrade: "fluxora" in ASCII.
_UPGRADE_LOCK: Final = 0x666C75786F7261

#: What a connection to SQLite may keep in memory.
_CACHE_KIB: Final = 32 * 1024

#: Pages (4 KiB) after which SQLite moves its log into the database; in a large ledger a batch dirties 4,000.
_CHECKPOINT_PAGES: Final = 32_000

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_READS: Final = "fluxora_reads"

_EXAMPLES: Final = "sqlite:///ledger.db or postgresql+psycopg://user:password@localhost/fluxora"
_DRIVERS: Final = {"sqlite": "pysqlite", "postgresql": "psycopg"}
_START_RECORDER: Final = "start the recorder (celery -A workers.app recorder), which brings it up to date"


def open_engine(url: str) -> Engine:
    """
    An engine for the ledger; nothing is connected yet. Made after a fork, never shared over one.

    Raises:
        ConfigurationError: not a URL of SQLite or PostgreSQL.
        MissingExtra: the driver of PostgreSQL is not installed.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            parsed,
            # parameters are payloads, which have no place in an error or a log
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT, "application_name": "fluxora-tasks"},
        )
    except ImportError as exc:
        raise MissingExtra("postgres", "a ledger on PostgreSQL") from exc
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads; on SQLite it waits for no writer.

    Raises:
        LedgerUnavailable: the database does not answer, or has no schema.
    """
    with _translated(engine), engine.connect() as connection:
        connection.execution_options(**{_READS: True})
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; committed at the end, rolled back on any error.

    Raises:
        LedgerUnavailable: the database does not answer, or has no schema.
        DataError, IntegrityError: a row that the database refuses.
    """
    with _translated(engine), engine.begin() as connection:
        yield connection


def upgrade(engine: Engine) -> None:
    """
    Bring the schema to this release; safe when several processes do it at once.

    Creates the file of a SQLite ledger and its directory.

    Raises:
        LedgerUnavailable: the database does not answer, or belongs to a newer release.
    """
    _make_directory(engine)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        _refuse_unknown(engine, current_revision(connection))
        _migrate(connection)


def require_schema(engine: Engine) -> None:
    """
    Raises:
        LedgerUnavailable: the database does not answer, or its schema is not that of this release.
    """
    path = _sqlite_file(engine)
    if path is not None and not path.exists():
        raise LedgerUnavailable(f"the ledger {shown_url(engine)} does not exist yet; {_START_RECORDER}")
    with reading(engine) as connection:
        revision = current_revision(connection)
    if revision is None:
        raise LedgerUnavailable(f"the ledger {shown_url(engine)} has no tables yet; {_START_RECORDER}")
    _refuse_unknown(engine, revision)
    if revision != head_revision():
        raise LedgerUnavailable(f"the ledger {shown_url(engine)} is of an older release; {_START_RECORDER}")


def shown_url(engine: Engine) -> str:
    """The URL of the ledger without its password."""
    return engine.url.render_as_string(hide_password=True)


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; ``None`` where there is no schema."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The revision this release needs."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise ConfigurationError(f"the ledger needs a URL such as {_EXAMPLES}") from exc
    backend, _, driver = parsed.drivername.partition("+")
    known = _DRIVERS.get(backend)
    if known is None or driver not in ("", known):
        raise ConfigurationError(f"the ledger cannot use {parsed.drivername}://; give {_EXAMPLES}")
    return parsed if backend == "sqlite" else parsed.set(drivername=f"{backend}+{known}")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.create_function("has_words", 2, has_words, deterministic=True)
    cursor = connection.cursor()
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    """Compiling a query takes longer than a page of a list may."""
    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
    connection.commit()


def _use_write_ahead_log(cursor: Any) -> None:
    """The first switch needs the file alone and does not wait for it, so it is tried until others are done."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except Exception as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (DataError, IntegrityError):
        raise
    except (DBAPIError, PoolTimeout) as exc:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise LedgerUnavailable(
            f"the ledger {shown_url(engine)} cannot be used: {lines[0]}; check FLUXORA_LEDGER_URL"
        ) from exc


def _sqlite_file(engine: Engine) -> Path | None:
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def _make_directory(engine: Engine) -> None:
    path = _sqlite_file(engine)
    if path is None:
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise LedgerUnavailable(f"the ledger {shown_url(engine)} cannot be made: {exc.strerror}") from exc


def _refuse_unknown(engine: Engine, revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise LedgerUnavailable(
            f"the ledger {shown_url(engine)} is of a newer release (revision {revision}); update fluxora-tasks"
        )


def _migrate(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
