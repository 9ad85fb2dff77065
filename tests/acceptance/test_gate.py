"""Circuits before tasks, with real workers on both brokers."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.breaker.record import CircuitState, Order, Override
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.install import Extension, install
from fluxora_tasks.settings import Settings
from tests.acceptance.dead_queue import DeadQueue
from tests.acceptance.gated_policies import GATE
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.gated_app"
TEST = Order("test")


@dataclass(frozen=True)
class Run:
    """One run of a body, as it was noted there."""

    task_id: str
    at: float
    retries: int
    deferrals: int
    began: float


class Bench:
    """Workers on one broker, a client, the circuits' store, and the dead-letter queue."""

    def __init__(self, client: Celery, broker_url: str, runs: Path, start: Any) -> None:
        self.client, self._path, self.start = client, runs, start
        self.extension: Extension = client.fluxora
        self.dead = DeadQueue(broker_url)

    @property
    def circuits(self) -> BreakerStore:
        store = self.extension.breakers.store
        assert store is not None
        return store

    def open(self, circuit: str, seconds: float) -> None:
        self.circuits.open_for(circuit, seconds, TEST, GATE)

    def hold_open(self, circuit: str) -> None:
        self.circuits.override(circuit, Override.FORCED_OPEN, None, TEST, GATE)

    def let_go(self, circuit: str) -> None:
        self.circuits.override(circuit, Override.NONE, None, TEST, GATE)

    def state_of(self, circuit: str) -> CircuitState:
        return self.circuits.read([circuit])[0].snapshot.state

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.client.send_task(task, args=args, **options)

    def runs(self) -> list[Run]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [
            Run(words[0], float(words[1]), int(words[2]), int(words[3]), float(words[4]) if words[4:] else 0.0)
            for words in map(str.split, lines)
        ]

    def all_ran(self, ids: set[str], limit: float = 40.0) -> list[Run]:
        """Their runs, when each had one and the books are closed."""
        wait_until(lambda: {run.task_id for run in self.runs()} >= ids, limit, f"a run of each of {len(ids)} tasks")
        wait_until(lambda: self.counts().open == 0, 20, "the end of each message in the journal")
        return self.runs()

    def counts(self) -> Any:
        assert self.extension.journal is not None
        return self.extension.journal.counts()


def deferrals_of(worker: ManagedProcess) -> list[str]:
    """Ids of the messages that it put off, one for each time, by its log."""
    return re.findall(r"task \w+\[(\S+)\] put off for ", worker.output())


def put_off_by(worker: ManagedProcess) -> set[str]:
    """Ids of the messages that it put off."""
    return set(deferrals_of(worker))


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    name = "store_url" if request.param == "redis" else "vhost_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def bench(broker_url: str, store: Any, celery_processes: CeleryProcesses, tmp_path: Path) -> Iterator[Bench]:
    urls = {"broker_url": broker_url, "redis_url": store.state_url(2), "result_backend": store.broker_url(1)}
    runs = tmp_path / "runs"
    environment = {f"FLUXORA_{name.upper()}": url for name, url in urls.items()} | {"TEST_RUNS": str(runs)}
    client = Celery("client")
    install(client, Settings(**urls))

    started: list[ManagedProcess] = []

    def start(name: str = "worker", *options: str, pool: str = "prefork") -> ManagedProcess:
        started.append(celery_processes.worker(APP, environment, "-P", pool, "-c", "2", *options, name=name))
        return started[-1]

    bench = Bench(client, broker_url, runs, start)
    yield bench
    for worker in started:
        worker.kill()  # a warm stop takes two seconds, and shows nothing here
    bench.dead.close()
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()


def test_a_hundred_messages_meet_an_open_circuit(bench: Bench) -> None:
    """No attempt is used; all run once after it closes, spread over more than a second; the books add up."""
    worker = bench.start()
    bench.hold_open("gate")
    ids = {bench.send("steady").id for _ in range(100)}
    wait_until(lambda: put_off_by(worker) == ids, what="each was put off")
    assert bench.runs() == []
    bench.let_go("gate")
    runs = bench.all_ran(ids)
    assert len(runs) == 100
    assert {run.retries for run in runs} == {0}
    assert min(run.deferrals for run in runs) >= 1
    assert max(run.at for run in runs) - min(run.at for run in runs) > 1.0
    counts = bench.counts()
    assert (counts.sent, counts.succeeded, counts.retried, counts.open) == (100, 100, 0, 0)
    assert bench.dead.letters() == []
    assert len(deferrals_of(worker)) == sum(run.deferrals for run in runs)
    assert bench.state_of("gate") is CircuitState.CLOSED


@pytest.mark.parametrize(("broker_url", "pool"), [("redis", "threads"), ("rabbitmq", "solo")], indirect=["broker_url"])
def test_other_pools(bench: Bench, pool: str) -> None:
    """A worker without an event loop puts messages off, too."""
    worker = bench.start(pool=pool)
    bench.hold_open("gate")
    ids = {bench.send("steady").id for _ in range(10)}
    wait_until(lambda: put_off_by(worker) == ids, what="each was put off")
    bench.let_go("gate")
    runs = bench.all_ran(ids)
    assert len(runs) == 10
    assert {run.retries for run in runs} == {0}
    assert min(run.deferrals for run in runs) >= 1


def test_what_a_task_wants_done_about_an_open_circuit(bench: Bench) -> None:
    """Wait for so long, be refused at once, or give a fallback, which is marked; each as declared."""
    bench.start()
    bench.open("down", 300.0)
    values = {name: bench.send(name) for name in ("degraded", "patient")}
    ran = bench.send("by_argument", "up")
    for name in ("impatient", "rejecting", "under_two", "meets_it_inside", "without_budget"):
        bench.send(name)
    bench.send("by_argument", "down")
    letters = {letter.task: letter for letter in bench.dead.wait_for(6)}
    assert {letter.kind for name, letter in letters.items() if name != "without_budget"} == {Kind.BREAKER_TIMEOUT}
    assert letters["without_budget"].kind is Kind.RETRY_BUDGET
    assert {letter.attempts for letter in letters.values()} == {1}
    assert letters["impatient"].message == "circuit 'down' is still OPEN after 1 deferrals, 1 s in all"
    assert letters["rejecting"].message == "refused: circuit 'down' is OPEN"
    assert "circuit down is OPEN" in letters["meets_it_inside"].message
    assert [run.deferrals for run in bench.runs()] == [0, 1], "the body that met it ran before and after its wait"
    assert ran.get(timeout=20) == "ran under up"
    for result in values.values():
        assert result.get(timeout=20) == "plan b"
        mark = bench.extension.degraded(result)
        assert mark is not None
        assert (mark["degraded"], mark["cause"]) == (True, "refused")
    assert bench.extension.degraded(ran) is None
    wait_until(lambda: bench.counts().open == 6, what="only the dead letters are open in the journal")


def test_two_workers_open_a_circuit_together(bench: Bench) -> None:
    """Four failures seen by one and two by the other are six; then both refuse. A fallback's value hides no failure."""
    one, other = bench.start("one", "-Q", "one"), bench.start("other", "-Q", "other")
    for _ in range(4):
        bench.send("fails", queue="one")
    covered = [bench.send("covered", queue="other") for _ in range(2)]
    assert [result.get(timeout=20) for result in covered] == ["plan b", "plan b"]
    wait_until(lambda: bench.state_of("fragile") is CircuitState.OPEN, what="the circuit opens")
    opened = bench.circuits.history("fragile")[0]
    assert (opened.event, opened.facts["failures"]) == ("opened", "6")
    wait_until(lambda: bench.send("fails", queue="one") and deferrals_of(one), what="the one refuses")
    wait_until(lambda: bench.send("fails", queue="other") and deferrals_of(other), what="the other refuses")


def test_a_worker_killed_while_it_puts_messages_off(bench: Bench) -> None:
    """Nothing is lost: what it held comes again, what it sent away waits in the broker."""
    worker = bench.start()
    bench.hold_open("gate")
    ids = {bench.send("steady").id for _ in range(150)}
    wait_until(lambda: put_off_by(worker), what="the first deferral")
    worker.kill()
    bench.let_go("gate")
    bench.start("heir")
    runs = bench.all_ran(ids, limit=60.0)
    assert {run.task_id for run in runs} == ids
    assert {run.retries for run in runs} == {0}
    assert bench.dead.letters() == []


def test_a_queue_rests_while_its_circuit_is_open(bench: Bench) -> None:
    """Messages stay in the broker; when it is due, one probe runs, and only after its success the others."""
    worker = bench.start("worker", "-Q", "resting")
    bench.open("gate", 3.0)
    ids = {bench.send("slow", queue="resting").id for _ in range(19)}
    wait_until(lambda: "queue resting rests" in worker.output(), what="the queue rests")
    late = bench.send("slow", queue="resting").id
    runs = bench.all_ran({*ids, late})
    resting, _, afterwards = worker.output().partition("queue resting goes on")
    assert late not in resting, "it stayed in the broker"
    assert late in afterwards
    probe, *others = sorted(runs, key=lambda run: run.began)
    assert min(run.began for run in others) >= probe.at, "nothing ran beside the probe"
    assert len(runs) == 20
    assert bench.counts().retried == 0
