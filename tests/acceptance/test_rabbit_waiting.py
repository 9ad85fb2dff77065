"""What waits on RabbitMQ waits in the broker, and runs when it is due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.install import install
from fluxora_tasks.queues import queue
from fluxora_tasks.settings import Settings
from tests.acceptance.dead_queue import DeadQueue
from tests.integration.rabbit.broker import Broker
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

#: Where messages of each application arrive.
ROUTES = {"plain": ("", "celery"), "topic": ("tasks", "task.default"), "ours": ("", "celery")}


class Bench:
    """One running worker and a client with the same queues."""

    def __init__(self, url: str, queues: str, store: Any, processes: CeleryProcesses) -> None:
        self.queues, self.url = queues, url
        settings = Settings(broker_url=url, redis_url=store.state_url(2), result_backend=store.broker_url(1))
        self.worker = processes.worker(
            "tests.apps.waiting",
            {
                "TEST_QUEUES": queues,
                "FLUXORA_BROKER_URL": url,
                "FLUXORA_REDIS_URL": store.state_url(2),
                "FLUXORA_RESULT_BACKEND": store.broker_url(1),
            },
        )
        self.client = Celery("client", set_as_current=False)
        if queues == "topic":
            self.client.conf.update(
                task_default_queue_type="quorum",
                task_default_exchange="tasks",
                task_default_exchange_type="topic",
                task_default_routing_key="task.default",
            )
        elif queues == "ours":
            self.client.conf.task_queues = [queue("celery")]
        install(self.client, settings)

    def send(self, task: str, **options: Any) -> Any:
        return self.client.send_task(task, **options)

    def held(self) -> list[Any]:
        """What the worker keeps in memory until it is due."""
        replies = self.client.control.inspect(timeout=2).scheduled() or {}
        return [request for requests in replies.values() for request in requests]


@pytest.fixture(params=list(ROUTES))
def bench(
    request: pytest.FixtureRequest, vhost_url: str, store: Any, celery_processes: CeleryProcesses
) -> Iterator[Bench]:
    bench = Bench(vhost_url, request.param, store, celery_processes)
    yield bench
    bench.client.close()


@pytest.mark.parametrize("task", ["third_time", "third_time_by_celery"])
def test_retries_wait_in_the_broker(bench: Bench, task: str) -> None:
    """Our retries and Celery's; the message arrives as it was first sent, and what it carries does not grow."""
    begun = time.time()
    result = bench.send(task)
    broker = Broker(bench.url)
    wait_until(lambda: broker.exists("fluxora.delay.2048ms"), what="the first retry was sent to the broker")
    assert bench.held() == []
    seen = result.get(timeout=30)
    broker.close()

    assert 5 <= seen["at"] - begun < 9
    assert (seen["exchange"], seen["routing_key"]) == ROUTES[bench.queues]
    # at most one of each level up to 2048 ms, and the way to the queue
    assert seen["deaths"] <= 7


def test_a_retried_message_that_is_given_up_came_from_its_queue(
    bench: Bench,
) -> None:
    """After two delays the dead letter still names the queue a replay goes to."""
    dead = DeadQueue(bench.url)
    bench.send("never")
    (letter,) = dead.wait_for(1, limit=30)
    dead.close()

    assert (letter.kind, letter.attempts) == (Kind.RETRIES_EXHAUSTED, 3)
    assert (letter.queue, (letter.exchange, letter.routing_key)) == ("celery", ROUTES[bench.queues])


def test_short_delays_are_kept_and_block_nothing(bench: Bench) -> None:
    """Never early; most of them within 50 ms; what is due now does not wait for what is not."""
    later = [bench.send("moment", countdown=60) for _ in range(30)]
    due = []
    for countdown in (0.2, 0.35, 0.5, 0.8) * 5:
        due.append((time.time() + countdown, bench.send("moment", countdown=countdown)))
    lateness = sorted(result.get(timeout=20) - moment for moment, result in due)

    assert lateness[0] > -0.01
    assert lateness[len(lateness) // 4] < 0.05
    assert bench.held() == []
    assert not any(result.ready() for result in later)
