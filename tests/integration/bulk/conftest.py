"""Ledgers on both databases with an operator's and an executor's view of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection
from sqlalchemy import Engine

from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.bulk.bench import Bench
from tests.integration.bulk.shop import Around, Shop
from tests.integration.ledger.brokers import declare
from tests.integration.ledger.conftest import HeldClock, broker_url, clock, engine, ledger, ledger_url

__all__ = ["broker_url", "clock", "engine", "ledger", "ledger_url"]


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
