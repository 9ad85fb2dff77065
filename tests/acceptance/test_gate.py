"""What a real worker does with messages whose circuit is open, on both brokers."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Order
from fluxora_tasks.breaker.stores.redis import RedisBreakerStore
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.install import Extension, install
from fluxora_tasks.settings import Settings
from fluxora_tasks.state import StateStore
from tests.acceptance.dead_queue import DeadQueue
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.gated_app"
ON_CALL = Order("ann", "the other side is ill")


@dataclass
class Gate:
    """Workers, a client, an operator, and what the tasks left word of."""

    extension: Extension
    state: StateStore
    dead: DeadQueue
    processes: CeleryProcesses
    environment: dict[str, str]

    @property
    def circuits(self) -> RedisBreakerStore:
        return RedisBreakerStore(self.state)

    def worker(self, *options: str, name: str = "worker") -> ManagedProcess:
        options = options or ("--concurrency", "2")
        return self.processes.worker(APP, self.environment, *options, name=name)

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.extension.app.send_task(task, args=args, **options)

    def open_for(self, seconds: float) -> None:
        self.circuits.open_for("dependency", seconds, ON_CALL, BreakerPolicy())

    def starts(self) -> list[dict[str, Any]]:
        words: Any = self.state.run(lambda client: client.lrange("starts", 0, -1))
        return [json.loads(word) for word in words]

    def all_ended(self) -> bool:
        """Whether each message sent has succeeded, or is a dead letter that no recorder has taken yet."""
        journal = self.extension.journal
        assert journal is not None
        return journal.counts().open == len(self.dead.letters())


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    name = "store_url" if request.param == "redis" else "vhost_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def gate(broker_url: str, store: StoreServer, celery_processes: CeleryProcesses) -> Iterator[Gate]:
    settings = Settings(
        broker_url=broker_url, redis_url=store.state_url(2), result_backend=store.broker_url(1), max_attempts=1
    )
    environment = {
        "FLUXORA_BROKER_URL": broker_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
    }
    client, state, dead = Celery("client"), StateStore(store.state_url(2)), DeadQueue(broker_url)
    yield Gate(install(client, settings), state, dead, celery_processes, environment)
    dead.close()
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()
    state.close()


def test_messages_wait_for_an_open_circuit(gate: Gate) -> None:
    """A hundred of them use no attempt, all run after it closes, spread over more than a second; none is lost."""
    gate.worker()
    gate.open_for(4.0)
    for number in range(100):
        gate.send("fetch", number)
    wait_until(lambda: len(gate.starts()) >= 100, 60)
    wait_until(gate.all_ended, 20)
    starts = gate.starts()
    assert sorted(word["what"] for word in starts) == list(range(100))
    assert {word["retries"] for word in starts} == {0}
    assert min(word["put_off"] for word in starts) >= 1
    times = [word["at"] for word in starts]
    assert max(times) - min(times) >= 1.0
    assert gate.circuits.read(["dependency"])[0].snapshot.state is CircuitState.CLOSED
    assert not gate.dead.letters()


def test_each_task_has_its_own_terms(gate: Gate) -> None:
    """A fallback at once and marked, a dead letter at once or after its time, another circuit; a body's refusal."""
    gate.worker()
    gate.open_for(5.0)
    degraded, inner = gate.send("degrading"), gate.send("inner")
    for task in ("impatient", "rejecting"):
        gate.send(task)
    assert gate.send("by_argument", "north").get(timeout=20) == "north"
    assert degraded.get(timeout=20) == "kept"
    meta = gate.extension.degraded(degraded)
    assert meta is not None
    assert meta["degraded"] is True
    letters = {letter.task: letter for letter in gate.dead.wait_for(2)}
    assert {letter.kind for letter in letters.values()} == {Kind.BREAKER_TIMEOUT}
    assert "'dependency'" in letters["impatient"].message
    assert letters["rejecting"].message.startswith("refused: circuit 'dependency' is OPEN")
    assert {letter.attempts for letter in letters.values()} == {1}
    assert inner.get(timeout=30) == "answer"
    assert gate.send("degrading").get(timeout=20) == "fresh"
    wait_until(gate.all_ended, 20)


def test_two_workers_open_a_circuit_together(gate: Gate) -> None:
    """Five failures between them are enough, and what comes later waits."""
    for name in ("first", "second"):
        gate.worker("--concurrency", "1", "--prefetch-multiplier", "1", name=name)
    for _ in range(5):
        gate.send("failing")
    wait_until(lambda: gate.circuits.read(["sick"])[0].snapshot.state is not CircuitState.CLOSED, 20)
    opened = [line for line in gate.circuits.history("sick") if line.event == "opened"]
    assert [(line.reason, line.facts["failures"]) for line in opened] == [("all_failed", "5")]
    assert len(gate.dead.wait_for(5)) == 5


def test_a_worker_that_is_killed_meanwhile_loses_nothing(gate: Gate) -> None:
    """Between the new message and the end of the old one there may be two, never none."""
    doomed = gate.worker(name="doomed")
    gate.open_for(3.0)
    for number in range(40):
        gate.send("fetch", number)
    wait_until(lambda: doomed.output().count("put off for") >= 10, 20)
    doomed.kill()
    gate.worker(name="heir")
    wait_until(lambda: {word["what"] for word in gate.starts()} == set(range(40)), 60)
    wait_until(gate.all_ended, 30)
    assert not gate.dead.letters()


def test_a_queue_rests_while_its_only_circuit_is_open(gate: Gate) -> None:
    """Its messages stay in the broker, and run when the circuit lets them."""
    worker = gate.worker("--concurrency", "2", "--queues", "slow,celery")
    gate.open_for(5.0)
    for number in range(20):
        gate.send("resting", number, queue="slow")
    wait_until(lambda: "queue slow rests" in worker.output(), 20)
    late = gate.send("resting", 20, queue="slow")
    assert gate.send("by_argument", "north").get(timeout=20) == "north"
    wait_until(lambda: len(gate.starts()) >= 22, 60)
    wait_until(gate.all_ended, 20)
    resting, _, later = worker.output().partition("queue slow goes on")
    assert late.id not in resting
    assert late.id in later
    assert {word["retries"] for word in gate.starts()} == {0}


def test_a_retry_that_the_budget_refuses_is_a_dead_letter(gate: Gate) -> None:
    """Of a kind of its own, after the first attempt."""
    gate.worker()
    gate.send("budgeted")
    (letter,) = gate.dead.wait_for(1)
    assert (letter.kind, letter.attempts) == (Kind.RETRY_BUDGET, 1)


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_other_pools_wait_as_well(gate: Gate, pool: str) -> None:
    """Their runs need permits, too."""
    gate.worker("--pool", pool, "--concurrency", "4")
    gate.open_for(2.0)
    for number in range(10):
        gate.send("fetch", number)
    wait_until(lambda: len(gate.starts()) >= 10, 40)
    wait_until(gate.all_ended, 20)
    assert min(word["put_off"] for word in gate.starts()) >= 1
