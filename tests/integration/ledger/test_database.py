"""Opening a ledger: what is made, what is refused, and in which words."""

from __future__ import annotations

import builtins
import multiprocessing
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fluxora_tasks.errors import ConfigurationError, LedgerUnavailable, MissingExtra
from fluxora_tasks.ledger.database import open_engine, reading, require_schema, upgrade, writing
from fluxora_tasks.ledger.repository import Ledger
from tests.letters import letter

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://localhost/x",
        "postgresql+psycopg2://localhost/x",
        "sqlite+aiosqlite:///x.db",
        "http://x",
    ],
)
def test_a_url_that_cannot_be_one(url: str) -> None:
    """A wrong URL is answered with a right one."""
    with pytest.raises(ConfigurationError, match=r"sqlite:///ledger\.db"):
        open_engine(url)


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL without its driver says what to install."""
    real_import = builtins.__import__

    def without_driver(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_driver)
    with pytest.raises(MissingExtra, match=r"fluxora-tasks\[postgres\]"):
        open_engine("postgresql://localhost/x")


def test_a_ledger_that_does_not_exist_is_not_made_by_looking(tmp_path: Path) -> None:
    """Asking for a ledger that is not there creates neither file nor directory."""
    engine = open_engine(f"sqlite:///{tmp_path / 'none' / 'ledger.db'}")

    with pytest.raises(LedgerUnavailable, match="does not exist yet; start the recorder"):
        require_schema(engine)
    assert not (tmp_path / "none").exists()


def test_upgrade_makes_the_directory_for_its_owner_alone(tmp_path: Path) -> None:
    """A ledger holds payloads: nobody else may look into its directory."""
    path = tmp_path / "state" / "ledger.db"
    engine = open_engine(f"sqlite:///{path}")

    upgrade(engine)
    require_schema(engine)

    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_empty_database_is_told_apart(ledger_url: str) -> None:
    """A database without the ledger's tables says who makes them."""
    engine = open_engine(ledger_url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE other (id integer)"))

    with pytest.raises(LedgerUnavailable, match="has no tables yet"):
        require_schema(engine)
    with pytest.raises(LedgerUnavailable):
        Ledger(engine).find()


def test_a_newer_ledger_is_left_alone(ledger_url: str) -> None:
    """A ledger of a later release is neither used nor changed by this one."""
    engine = open_engine(ledger_url)
    upgrade(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for act in (require_schema, upgrade):
        with pytest.raises(LedgerUnavailable, match="newer release"):
            act(engine)


@pytest.mark.parametrize("url", ["sqlite:////proc/nobody/ledger.db", "postgresql://127.0.0.1:1/x"])
def test_what_cannot_be_reached_is_one_line(url: str) -> None:
    """A place that cannot be used is one line for a person."""
    for act in (upgrade, require_schema):
        with pytest.raises(LedgerUnavailable) as caught:
            act(open_engine(url))
        assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Some other file is refused, and stays as it is."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"these are not the bytes of a database" * 100)

    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        require_schema(open_engine(f"sqlite:///{path}"))
    assert path.read_bytes().startswith(b"these are not")


def _upgrade_in_child(url: str, start: Any, answers: Any) -> None:
    try:
        engine = open_engine(url)
        start.wait()
        upgrade(engine)
        require_schema(engine)
        answers.put("ok")
    except BaseException as exc:
        answers.put(repr(exc))


def test_many_may_upgrade_at_once(ledger_url: str) -> None:
    """Four processes that start together on an empty ledger all find it ready."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(4), context.Queue()
    children = [context.Process(target=_upgrade_in_child, args=(ledger_url, start, answers)) for _ in range(4)]
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join()

    assert found == ["ok"] * 4


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """Lists are answered while a batch is being stored."""
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    upgrade(engine)
    with writing(engine):
        answered = threading.Event()
        reader = threading.Thread(target=lambda: (Ledger(engine).find(), answered.set()))
        reader.start()
        assert answered.wait(5)
        reader.join()


def test_sqlite_is_set_up_for_many_processes(tmp_path: Path) -> None:
    """The write-ahead log is on, and a writer takes its lock at once."""
    path = tmp_path / "ledger.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with writing(engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_full_disk_is_not_a_bad_note(tmp_path: Path) -> None:
    """A ledger that takes nothing more is away: its notes wait, they are not parked."""
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    upgrade(engine)
    with reading(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    # the pool has this one connection
    with pytest.raises(LedgerUnavailable, match="full"):
        Ledger(engine).ingest([letter(traceback="x" * 60_000)])
