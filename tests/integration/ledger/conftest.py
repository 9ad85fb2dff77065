"""Ledgers on both databases, each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.letters import moment


class HeldClock:
    """A wall clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = moment(1000)

    def now(self) -> datetime:
        """The held time."""
        return self.time

    def monotonic(self) -> float:
        """Seconds, as held."""
        return self.time.timestamp()

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HeldClock:
    """A held clock."""
    return HeldClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("database_url")
    return url


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    """An engine on a database with the ledger's schema."""
    engine = open_engine(ledger_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine, clock: HeldClock) -> Ledger:
    """A ledger, empty, with a held clock."""
    return Ledger(engine, clock=clock)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty broker, once of each kind."""
    url: str = request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url")
    return url


@pytest.fixture
def desk(tmp_path: Path, clock: HeldClock) -> Iterator[Ledger]:
    """A ledger in a SQLite file, where the kind of database does not matter."""
    engine = open_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    upgrade(engine)
    yield Ledger(engine, clock=clock)
    engine.dispose()
