"""Fixtures: real servers, each private to this run unless a FLUXORA_TEST_* variable names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import pools

from fluxora_tasks import shared
from fluxora_tasks.breaker import registry
from tests.processes import CeleryProcesses
from tests.servers import (
    PostgresServer,
    PrivatePostgres,
    PrivateRabbit,
    PrivateStore,
    RabbitServer,
    StoreServer,
    external_postgres,
    external_rabbit,
    external_store,
)

_booting_rabbit = pytest.StashKey[PrivateRabbit]()


#: Servers that the tests of one process empty, as those of another would under them.
_SHARED = ("FLUXORA_TEST_BROKER_URL", "FLUXORA_TEST_REDIS_URL")


def pytest_configure(config: pytest.Config) -> None:
    """Several processes need servers of their own."""
    named = [name for name in _SHARED if os.environ.get(name)]
    if named and (config.getoption("numprocesses", None) or 1) > 1:
        raise pytest.UsageError(f"{named[0]} names a server for one process of tests; run with JOBS=1, or unset it")


def pytest_runtestloop(session: pytest.Session) -> None:
    """Boot RabbitMQ beside the first tests if any selected one needs it."""
    wanted = any("rabbit_node" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly and external_rabbit() is None:
        session.config.stash[_booting_rabbit] = PrivateRabbit()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own FLUXORA_* variables change no test."""
    for name in list(os.environ):
        if name.startswith("FLUXORA_") and not name.startswith("FLUXORA_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_shared_state_of_others() -> None:
    """What an earlier test installed, or said about a circuit, is not this one's."""
    shared.use(lambda: None)
    registry._declared.clear()


@pytest.fixture(autouse=True)
def _no_connections_of_others() -> None:
    """Kombu keeps connections for the whole process; the server behind one may have ended it since."""
    for group in (pools.connections, pools.producers):
        group.clear()


@pytest.fixture(scope="session")
def store_server() -> Iterator[StoreServer]:
    """One Valkey for the run."""
    external = external_store()
    if external is not None:
        yield external
        return
    private = PrivateStore()
    yield private.server
    private.stop()


@pytest.fixture
def store(store_server: StoreServer) -> StoreServer:
    """The run's Valkey, emptied."""
    store_server.empty()
    return store_server


@pytest.fixture
def store_url(store: StoreServer) -> str:
    """Broker URL of the run's Valkey, emptied."""
    return store.broker_url()


@pytest.fixture(scope="session")
def rabbit_node(request: pytest.FixtureRequest) -> Iterator[PrivateRabbit | None]:
    """The run's private RabbitMQ node, still booting; ``None`` if somebody else's is used."""
    if external_rabbit() is not None:
        yield None
        return
    node = request.config.stash.get(_booting_rabbit, None) or PrivateRabbit()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def rabbit(rabbit_node: PrivateRabbit | None) -> RabbitServer:
    """One RabbitMQ for the run."""
    external = external_rabbit()
    if rabbit_node is None:
        assert external is not None
        return external
    return rabbit_node.await_ready()


@pytest.fixture(scope="session")
def rabbit_url(rabbit: RabbitServer) -> str:
    """URL of its default virtual host; every test shares it."""
    return rabbit.url()


@pytest.fixture
def vhost_url(rabbit: RabbitServer, rabbit_node: PrivateRabbit | None) -> str:
    """URL of a virtual host of the test's own; of the named one where FLUXORA_TEST_BROKER_URL is set."""
    return rabbit.url() if rabbit_node is None else rabbit.url(rabbit_node.fresh_vhost())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL cluster for the run."""
    external = external_postgres()
    if external is not None:
        yield external
        return
    private = PrivatePostgres()
    yield private.server
    private.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres: PostgresServer) -> str:
    """URL of its first database; every test shares it."""
    return postgres.url()


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of an empty database of the test's own."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def celery_processes(tmp_path: Path) -> Iterator[CeleryProcesses]:
    """Starts real workers and recorders; ends what the test left running."""
    processes = CeleryProcesses(tmp_path)
    yield processes
    processes.stop()
