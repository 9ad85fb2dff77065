"""Ledgers on both databases with an operator's and an executor's view of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection
from sqlalchemy import Engine, text

from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.models import Base
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.bulk.bench import Bench
from tests.integration.bulk.shop import Around, Shop
from tests.integration.ledger.brokers import declare
from tests.integration.ledger.conftest import HeldClock, broker_url, clock, engine, ledger, ledger_url
from tests.servers import PostgresServer

__all__ = ["broker_url", "clock", "engine", "ledger", "ledger_url"]


@pytest.fixture(scope="session")
def migrated_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of a database with the ledger's schema, for the run."""
    name = postgres.create_database()
    engine = open_engine(postgres.url(name))
    upgrade(engine)
    engine.dispose()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def database_url(migrated_url: str) -> str:
    """The same, emptied: to make the schema anew takes longer than most of these tests."""
    engine = open_engine(migrated_url)
    names = ", ".join(f'"{name}"' for name in Base.metadata.tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    engine.dispose()
    return migrated_url


@pytest.fixture
def bench(engine: Engine, ledger: Ledger, clock: HeldClock) -> Bench:
    """Operations on an empty ledger."""
    return Bench(engine, ledger, clock)


@pytest.fixture
def around() -> Around:
    """Nothing in the way."""
    return Around()


@pytest.fixture
def shop(tmp_path: Path, clock: HeldClock, broker_url: str, around: Around) -> Iterator[Shop]:
    """An executor with the lease, over SQLite and either broker."""
    engine = open_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    upgrade(engine)
    bench = Bench(engine, Ledger(engine, clock=clock), clock)
    declare(broker_url)
    executor = Executor(bench.ledger, bench.work, lambda: Connection(broker_url), around, clock=clock)
    yield Shop(bench, broker_url, executor, around)
    executor.close()
    engine.dispose()
