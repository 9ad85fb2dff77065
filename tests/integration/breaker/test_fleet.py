"""One circuit, many processes, a real store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from fluxora_tasks import BreakerPolicy, CircuitBreaker, CircuitBreakerError, shared
from fluxora_tasks.breaker.record import CircuitState, Order
from fluxora_tasks.breaker.registry import breakers
from fluxora_tasks.breaker.stores.redis import RedisBreakerStore
from fluxora_tasks.lane import lane_of
from fluxora_tasks.state import StateStore
from tests.integration.breaker.callers import POLICY
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    """Shared state of this process."""
    state = StateStore(store.state_url(2))
    shared.use(lambda: state)
    yield state
    lane_of(state).stop(5)
    state.close()


@pytest.fixture
def client(store: StoreServer) -> Iterator[redis.Redis]:
    """A look at what the others do."""
    client = redis.Redis.from_url(store.state_url(2))
    yield client
    client.close()


def probes(client: redis.Redis) -> list[dict[str, Any]]:
    """Permits given while the circuit was not closed, in order."""
    words: Any = client.lrange("probes", 0, -1)
    return [json.loads(word) for word in words]


def test_twelve_processes_make_one_probe_and_a_killed_one_is_replaced(
    store: StoreServer, state: StateStore, client: redis.Redis
) -> None:
    """They reach an elapsed circuit together; when the holder is killed, the next probe passes after its lease."""
    circuits = RedisBreakerStore(state)
    circuits.open_for("dependency", 3.0, Order("test"), POLICY)
    command = [sys.executable, "-m", "tests.integration.breaker.callers", store.state_url(2), "12", "30"]
    fleet = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until(lambda: client.llen("ready") == 12, 30)
        assert probes(client) == []
        holder = wait_until(lambda: probes(client), 20)[0]
        gone_at = circuits.read(["dependency"])[0].snapshot.now_ms + 700
        wait_until(lambda: circuits.read(["dependency"])[0].snapshot.now_ms > gone_at)  # its lease is renewed meanwhile
        assert len(probes(client)) == 1
        os.kill(holder["pid"], signal.SIGKILL)
        seconds, micros = client.time()
        killed_ms = int(seconds) * 1000 + int(micros) // 1000
        second = wait_until(lambda: probes(client)[1:], 20)[0]
        waited = (second["at"] - killed_ms) / 1000
        print(f"next probe {waited:.3f} s after the kill, lease {POLICY.probe_lease} s")
        assert waited <= POLICY.probe_lease + 0.5
        assert second["pid"] != holder["pid"]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(fleet.pid, signal.SIGKILL)
        fleet.wait()


def test_a_cancelled_probe_gives_its_place_back_at_once(state: StateStore) -> None:
    """The lease would last for half a minute."""
    circuit = CircuitBreaker(name="dependency", policy=BreakerPolicy(cooldown=0.05, jitter=0.0, probes_required=1))
    breakers().store.open_for("dependency", 0.05, Order("test"), circuit.policy)  # type: ignore[union-attr]

    @circuit
    async def hang(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    async def cancel_and_ask_again() -> str:
        await until_probing(circuit)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(hang(60), 0.1)
        began = time.monotonic()
        while True:
            with suppress(CircuitBreakerError):
                result = await hang(0)
                print(f"place free {time.monotonic() - began:.4f} s after the cancellation")
                return result
            await asyncio.sleep(0.005)

    assert asyncio.run(asyncio.wait_for(cancel_and_ask_again(), 20)) == "done"


async def until_probing(circuit: CircuitBreaker) -> None:
    """Until the next call would be a probe."""
    while True:
        answer = await circuit.try_acquire_async()
        if hasattr(answer, "release"):
            answer.release()
            return
        await asyncio.sleep(0.01)


def test_ten_thousand_calls_take_hardly_a_command(state: StateStore, store: StoreServer) -> None:
    """Through three closed circuits, within two seconds; what the server was asked meanwhile is counted there."""
    circuits = [CircuitBreaker(name=f"dependency-{number}") for number in range(3)]
    calls = [circuit(lambda: None) for circuit in circuits]
    for call in calls:
        call()
    with Monitor(store.state_url(2)) as monitor:
        until = time.monotonic() + 2.0
        for number in range(10_000):
            calls[number % 3]()
            if number % 100 == 0:
                time.sleep(max(0.0, 0.018))
        while time.monotonic() < until:
            time.sleep(0.01)
    print(f"{len(monitor.commands)} commands: {sorted(set(monitor.commands))}")
    assert len(monitor.commands) <= 20
    wait_until(lambda: sum(one.snapshot.counts.calls for one in all_of(circuits)) == 10_003, 10)


def all_of(circuits: list[CircuitBreaker]) -> Any:
    """Where they stand, as everybody sees them."""
    store = breakers().store
    assert store is not None
    return store.read([circuit.name for circuit in circuits])


class Monitor:
    """The commands that a server gets from its clients."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self.commands: list[str] = []

    def __enter__(self) -> Monitor:
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._client.echo("enough")
        self._thread.join(10)
        self._monitor.__exit__(*_)
        self._client.close()

    def _listen(self) -> None:
        for entry in self._monitor.listen():
            if entry["client_type"] == "lua":
                continue
            if entry["command"].startswith("ECHO"):
                return
            self.commands.append(entry["command"].split(" ")[0])


def test_one_opening_is_one_line_however_many_saw_it(store: StoreServer, state: StateStore) -> None:
    """Eight processes report the failures that open it at the same moment."""
    script = (
        "import sys\n"
        "from fluxora_tasks import shared\n"
        "from fluxora_tasks.breaker import breakers\n"
        "from fluxora_tasks.state import StateStore\n"
        "shared.use(lambda: StateStore(sys.argv[1]))\n"
        "permits = [breakers().get('dependency').try_acquire() for _ in range(5)]\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for permit in permits: permit.failure()\n"
    )
    command = [sys.executable, "-c", script, store.state_url(2)]
    fleet = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for process in fleet:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in fleet:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in fleet:
        process.communicate(timeout=30)
    lines = RedisBreakerStore(state).history("dependency")
    assert [line.event for line in lines] == ["opened"]


SKEWED = """
import sys, time
skew, real = float(sys.argv[2]), time.time
time.time = lambda: real() + skew
time.time_ns = lambda: int((real() + skew) * 1e9)
from fluxora_tasks import BreakerPolicy, CircuitBreaker, CircuitBreakerError, shared
from fluxora_tasks.state import StateStore
shared.use(lambda: StateStore(sys.argv[1]))
circuit = CircuitBreaker(name="dependency", policy=BreakerPolicy(all_failed=3, cooldown=1.0, jitter=0.0, probes=1,
                                                                 probes_required=1))
@circuit
def call(fail):
    if fail:
        raise ConnectionError
for line in sys.stdin:
    try:
        call(line.strip() == "fail")
        print("passed", flush=True)
    except ConnectionError:
        print("failed", flush=True)
    except CircuitBreakerError as error:
        print(f"{error.state} {error.retry_after:.3f}", flush=True)
"""


class Skewed:
    """A process whose wall clock is wrong."""

    def __init__(self, url: str, seconds: float) -> None:
        command = [sys.executable, "-c", SKEWED, url, str(seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, how: str = "succeed") -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_no_wall_clock_of_a_worker_decides_anything(store: StoreServer, state: StateStore) -> None:
    """One is an hour ahead, one an hour behind; whoever opens it, both wait for the same time and close it."""
    ahead, behind = Skewed(store.state_url(2), 3600.0), Skewed(store.state_url(2), -3600.0)
    circuits = RedisBreakerStore(state)
    try:
        for opener, other in ((ahead, behind), (behind, ahead)):
            assert (opener.call(), other.call()) == ("passed", "passed")
            circuits.reset("dependency", Order("test"), BreakerPolicy())
            wait_until(lambda opener=opener: opener.call("fail").startswith("OPEN"), 10)  # type: ignore[misc]
            wait_until(lambda other=other: other.call().startswith("OPEN"), 10)  # type: ignore[misc]
            answer = other.call()
            assert 0.0 < float(answer.removeprefix("OPEN ")) <= 1.0
            wait_until(lambda other=other: other.call() == "passed", 10)  # type: ignore[misc]
            wait_until(lambda opener=opener: opener.call() == "passed", 10)  # type: ignore[misc]
            lines = circuits.history("dependency", 3)
            assert [line.event for line in lines] == ["closed", "half_opened", "opened"]
            assert 1000 <= lines[1].at_ms - lines[2].at_ms <= 9000
    finally:
        ahead.end()
        behind.end()


def test_a_child_of_a_fork_hears_of_what_happens_elsewhere(state: StateStore) -> None:
    """Its circuit was used before the fork; it opens elsewhere afterwards."""
    circuit = breakers().get("dependency", POLICY)
    permit = circuit.try_acquire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        answer = circuit.try_acquire()
        os._exit(0 if hasattr(answer, "error") else 1)
    RedisBreakerStore(state).open_for("dependency", 30.0, Order("test"), POLICY)
    os.write(write, b"!")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    wait_until(lambda: circuit.peek() is not None, 10)
    assert circuit.view.snapshot.state is CircuitState.OPEN
    del permit
