"""Calls go on while the store is stopped, hangs, is emptied and comes back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from fluxora_tasks import BreakerPolicy, CircuitBreaker, shared
from fluxora_tasks.breaker import Permit
from fluxora_tasks.breaker.record import Order
from fluxora_tasks.breaker.registry import breakers
from fluxora_tasks.lane import lane_of
from fluxora_tasks.state import StateStore
from tests.chaos.servers import Store
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

#: Opens after three failures.
POLICY = BreakerPolicy(all_failed=3, cooldown=30.0, probes=1, probes_required=1)

#: A call may take so much longer than one without a circuit; seconds.
DELAY = 0.005


@pytest.fixture
def server() -> Iterator[Store]:
    """A server of the test's own."""
    server = Store()
    yield server
    server.stop()


@pytest.fixture
def state(server: Store) -> Iterator[StateStore]:
    """Shared state of this process."""
    state = StateStore(server.server.state_url())
    shared.use(lambda: state)
    yield state
    lane_of(state).stop(5)
    state.close()


class Calls:
    """Calls through a circuit, one a millisecond, and beside each one without, for what the machine itself costs."""

    def __init__(self, circuit: CircuitBreaker) -> None:
        self._guarded, self._bare = circuit(lambda: None), lambda: None
        self.guarded: list[float] = []
        self.bare: list[float] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Calls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def _go_on(self) -> None:
        while not self._ending.is_set():
            self.guarded.append(_took(self._guarded))
            self.bare.append(_took(self._bare))
            time.sleep(0.001)

    def check(self, what: str) -> None:
        """No call waited for the store: the few slow ones are not more than what the machine itself makes slow."""
        slow = [sum(took > DELAY for took in all_of) for all_of in (self.guarded, self.bare)]
        longest = max(self.guarded)
        bare = max(self.bare)
        print(f"{what}: {len(self.guarded)} calls, longest {longest * 1000:.2f} ms (bare {bare * 1000:.2f} ms),"
              f" above {DELAY * 1000:.0f} ms: {slow[0]} (bare {slow[1]})")  # fmt: skip
        assert len(self.guarded) > 100
        assert slow[0] <= slow[1] + len(self.guarded) // 200
        assert longest < 0.2  # a command's time limit is 0.25 s


def _took(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


@contextmanager
def hanging(pid: int) -> Iterator[None]:
    """The server is there, but does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def circuit(name: str, policy: BreakerPolicy = POLICY) -> CircuitBreaker:
    """A circuit whose state is known here."""
    made = CircuitBreaker(name=name, policy=policy)
    made.live.try_acquire()
    return made


def fail(one: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        one.acquire().failure()


def source_of(one: CircuitBreaker) -> str:
    return str(one.get_state()["source"])


def is_passing(one: CircuitBreaker) -> bool:
    return isinstance(one.try_acquire(), Permit)


def test_a_server_that_is_killed_and_comes_back(server: Store, state: StateStore) -> None:
    """Circuits go on by what this process sees; what is known to be open stays open; the store wins again."""
    well, ill, third = circuit("well"), circuit("ill"), circuit("third")
    fail(ill, 3)
    wait_until(lambda: ill.get_state()["reason"] == "all_failed")  # by the store's word, not by our own count

    def meanwhile() -> None:
        wait_until(lambda: source_of(well) == "local", 20)
        fail(third, 3)
        assert not is_passing(third)
        assert not is_passing(ill)
        assert is_passing(well)

    with Calls(well) as calls:
        server.restart(meanwhile=meanwhile)
        wait_until(lambda: source_of(well) == source_of(third) == "shared", 40)
    calls.check("killed")
    assert is_passing(third)  # an opening of one process is nobody else's
    assert not is_passing(ill)


def test_a_server_that_hangs(server: Store, state: StateStore) -> None:
    """Nobody waits for it but whoever asks for a probe, and that not for long."""
    well, third = circuit("well"), circuit("third")
    elapsed = circuit("elapsed", BreakerPolicy(probes=1, probes_required=1))
    store = breakers().store
    assert store is not None
    store.open_for("elapsed", 0.3, Order("test"), elapsed.policy)
    wait_until(lambda: elapsed.live.view.is_open)
    with Calls(well) as calls, hanging(server._process.pid):
        time.sleep(0.31)  # the cooldown passes: this is what is tested, not a wait for something
        took = _took(elapsed.try_acquire)
        wait_until(lambda: source_of(well) == "local", 20)
        fail(third, 3)
        assert not is_passing(third)
    print(f"a probe waited {took * 1000:.0f} ms")
    calls.check("hanging")
    assert took < 0.5
    wait_until(lambda: source_of(well) == source_of(third) == "shared", 40)
    assert is_passing(well)
    assert is_passing(third)


def test_a_server_that_is_emptied(server: Store, state: StateStore) -> None:
    """Who knows that the other side is ill goes on sparing it; a permit of before the loss is late."""
    well, ill = circuit("well"), circuit("ill", BreakerPolicy(all_failed=3, cooldown=3.0, probes_required=1))
    before = well.acquire()
    fail(ill, 3)
    wait_until(lambda: ill.get_state()["reason"] == "all_failed")  # by the store's word, not by our own count
    known = well.live.view.snapshot.generation
    with Calls(well) as calls, redis.Redis.from_url(server.server.state_url()) as client:
        client.flushall()
        wait_until(lambda: well.live.view.snapshot.generation > known, 20)
        assert not is_passing(ill)
        before.failure()
    calls.check("emptied")
    wait_until(lambda: is_passing(ill), 20)
    store = breakers().store
    assert store is not None
    wait_until(lambda: store.read(["well"])[0].late >= 1, 20)
    assert store.read(["well"])[0].snapshot.counts.failures == 0
