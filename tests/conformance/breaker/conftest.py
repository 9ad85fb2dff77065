"""Keepers of circuits: in memory, as scripts on fakeredis, and on real servers of two kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.breaker.stores.memory import MemoryBreakerStore
from fluxora_tasks.breaker.stores.redis import RedisBreakerStore
from fluxora_tasks.state import StateStore
from tests.conformance.breaker.hands import FakeState, HeldChance, HeldClock
from tests.servers import PrivateRedis, StoreServer


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[StoreServer]:
    """One Redis of the system for the run."""
    private = PrivateRedis()
    yield private.server
    private.stop()


@pytest.fixture(
    params=[
        "memory",
        "fakeredis",
        pytest.param("valkey", marks=pytest.mark.integration),
        pytest.param("redis", marks=pytest.mark.integration),
    ]
)
def keeper(request: pytest.FixtureRequest, clock: HeldClock) -> Iterator[BreakerStore]:
    """Each of them, empty, on the held clock."""
    if request.param == "memory":
        yield MemoryBreakerStore(clock, HeldChance())
        return
    state = _state(request)
    yield RedisBreakerStore(state, HeldChance(), clock)
    state.close()


def _state(request: pytest.FixtureRequest) -> StateStore:
    if request.param == "fakeredis":
        return FakeState()
    server: StoreServer = request.getfixturevalue("store_server" if request.param == "valkey" else "redis_server")
    server.empty()
    return StateStore(server.state_url())
