"""Workers on Redis: killed, stopped, slow, beside plain ones; nothing is lost, and waiting runs nothing twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from random import Random

import pytest
import redis
from celery import Celery

from fluxora_tasks.transport.connection import DurableConnection
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

APP = "tests.apps.durable"
POOLS = ("prefork", "threads", "solo")

#: Seconds; longer than the visibility timeout of the app, which is 3.
LONG = 7.0


class Field:
    """A broker, what ran, and the workers on it."""

    def __init__(self, store: StoreServer, processes: CeleryProcesses) -> None:
        self.url, self.trace_url = store.broker_url(), store.state_url(3)
        self.broker = redis.Redis.from_url(store.state_url(0))
        self.trace = redis.Redis.from_url(self.trace_url)
        self.processes = processes
        self.app = Celery(broker=self.url)
        self.app.amqp.Connection = DurableConnection

    def worker(self, name: str, pool: str = "prefork", **environment: str) -> int:
        """Start one; returns its process id."""
        options = ("--pool", pool, "--concurrency", "2", "--without-gossip", "--without-mingle")
        process = self.processes.worker(APP, {"TEST_BROKER": self.url, **environment}, *options, name=name)
        return process.pid

    def send(self, numbers: range, seconds: float = 0.0, app: Celery | None = None, **options: object) -> None:
        for number in numbers:
            (app or self.app).send_task("run", (number, self.trace_url, seconds), ignore_result=True, **options)

    def ended(self) -> int:
        return self.trace.zcard("ended")

    def twice(self, which: str = "ended") -> int:
        return self.trace.zcount(which, 2, "+inf")

    def in_hand(self) -> int:
        return self.broker.hlen("unacked")


@pytest.fixture
def field(store: StoreServer, celery_processes: CeleryProcesses) -> Iterator[Field]:
    field = Field(store, celery_processes)
    yield field
    field.app.close()
    field.broker.close()
    field.trace.close()


@pytest.mark.parametrize("pool", POOLS)
def test_a_long_wait_runs_once(field: Field, pool: str) -> None:
    """Three times the visibility timeout, two workers, one of them killed meanwhile."""
    first, _ = field.worker("first", pool), field.worker("second", pool)
    due = time.time() + 9
    field.send(range(20), countdown=9)
    assert (field.broker.zcard("fluxora.delayed"), field.in_hand()) == (20, 0)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: field.ended() == 20, 60, "all runs")
    assert min(float(at) for at in field.trace.hvals("ended_at")) >= due - 0.05
    wait_until(lambda: not field.in_hand(), 20, "all acknowledgements")
    assert field.twice() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_longer_than_the_visibility_timeout_runs_once(field: Field, pool: str) -> None:
    """Its worker lives, so nobody else gets it; also where the task keeps the main thread busy."""
    field.worker("first", pool)
    field.worker("second", pool)
    field.send(range(2), LONG)
    wait_until(lambda: field.ended() == 2, 60, "both ends")
    wait_until(lambda: not field.in_hand(), 20, "all acknowledgements")
    assert field.twice("started") == 0


def test_a_stopped_worker_keeps_its_messages(field: Field) -> None:
    """Its process exists, so its connection does."""
    first = field.worker("first")
    field.send(range(4), LONG / 2)
    wait_until(lambda: field.trace.zcard("started") == 2, 30, "first starts")
    os.kill(first, signal.SIGSTOP)
    field.worker("second")
    silent_since = time.monotonic()
    wait_until(lambda: time.monotonic() - silent_since > 12, 30, "a silence longer than allowed")
    assert field.in_hand() == 4
    os.kill(first, signal.SIGCONT)
    wait_until(lambda: field.ended() == 4, 60, "all ends")
    assert field.twice("started") == 0


def test_kills_under_load_lose_nothing(field: Field) -> None:
    """Eight in a row, at a prefetch of 16; each costs what ran at that moment, and no more."""
    random, total = Random(8), 1200
    field.send(range(total))
    for kill in range(8):
        worker = field.worker(f"worker{kill}", TEST_PREFETCH="8")
        wanted = field.ended() + random.randrange(20, 80)
        wait_until(lambda wanted=wanted: field.ended() >= wanted, 60, "some runs")
        os.kill(worker, signal.SIGKILL)
    field.worker("last", TEST_PREFETCH="8")
    wait_until(lambda: field.ended() == total, 120, "all runs")
    wait_until(lambda: not field.in_hand(), 30, "all acknowledgements")
    assert {int(number) for number in field.trace.zrange("ended", 0, -1)} == set(range(total))
    assert field.twice() <= 8 * 16
    assert field.broker.llen("celery") == 0


def test_messages_of_a_killed_worker_are_back_within_seconds(field: Field) -> None:
    """Not after the visibility timeout, which is an hour elsewhere."""
    first = field.worker("first")
    field.send(range(6), 1.0)
    wait_until(lambda: field.trace.zcard("started") == 2, 30, "first starts")
    field.worker("second")
    wait_until(lambda: not field.broker.llen("celery"), 30, "an empty queue")
    os.kill(first, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: field.ended() == 6, 40, "all ends")
    assert time.monotonic() - killed < 25


def test_a_warm_shutdown_gives_the_prefetched_messages_back(field: Field) -> None:
    """At once, for others to take."""
    worker = field.worker("only")
    field.send(range(8), 1.0)
    wait_until(lambda: field.trace.zcard("started") == 2, 30, "first starts")
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: not field.in_hand(), 30, "empty hands")
    assert field.broker.llen("celery") + field.ended() == 8


@pytest.mark.parametrize("pool", POOLS)
def test_fractions_of_a_second_are_honoured(field: Field, pool: str) -> None:
    """A wait below and one above what the broker keeps; never early."""
    field.worker("only", pool)
    field.send(range(1))
    wait_until(lambda: field.ended() == 1, 30, "a first run")
    due = {}
    for number, wait in enumerate((0.2, 0.7, 1.1, 1.3, 1.75, 2.4), 1):
        due[number] = time.time() + wait
        field.send(range(number, number + 1), countdown=wait)
    wait_until(lambda: field.ended() == 7, 30, "all runs")
    late = {number: float(field.trace.hget("ended_at", str(number)) or 0) - at for number, at in due.items()}
    assert min(late.values()) > -0.05
    assert sorted(late.values())[3] < 0.5  # a busy machine may delay some; benchmarks print the distribution


@pytest.mark.parametrize("transport", ["plain", "durable"])
def test_plain_and_durable_sides_understand_each_other(field: Field, transport: str) -> None:
    """A producer of one kind, a worker of the other; remote control works in both directions."""
    field.worker("only", TEST_TRANSPORT=transport)
    other = Celery(broker=field.url)
    if transport == "plain":
        other.amqp.Connection = DurableConnection
    field.send(range(50), app=other)
    field.send(range(50, 60), app=other, countdown=1)
    wait_until(lambda: field.ended() == 60, 60, "all runs")
    inspect = other.control.inspect(timeout=3)
    assert list(inspect.ping() or {}) == ["only@localhost"]
    assert [queue["name"] for queue in (inspect.active_queues() or {})["only@localhost"]] == ["celery"]
    assert field.twice() == 0
    other.close()


def test_a_purge_counts_and_removes_everything(field: Field) -> None:
    """celery purge, without a worker."""
    field.send(range(5))
    field.send(range(5, 8), countdown=60)
    assert field.app.control.purge() == 8
    assert field.broker.zcard("fluxora.delayed") == 0
