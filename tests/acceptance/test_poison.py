"""A message that kills: three runs, then the ledger; nothing loops, bystanders are left alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.install import install
from fluxora_tasks.settings import Settings
from fluxora_tasks.state import StateStore
from fluxora_tasks.worker.books import RUNS_KEY
from tests.acceptance.dead_queue import DeadQueue
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url"))


@pytest.fixture
def environment(broker_url: str, store: Any) -> dict[str, str]:
    return {
        "FLUXORA_BROKER_URL": broker_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
    }


@pytest.fixture
def client(broker_url: str, store: Any) -> Iterator[Celery]:
    client = Celery("client")
    install(client, Settings(broker_url=broker_url, redis_url=store.state_url(2), result_backend=store.broker_url(1)))
    yield client
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()


@pytest.fixture
def dead(broker_url: str) -> Iterator[DeadQueue]:
    dead = DeadQueue(broker_url)
    yield dead
    dead.close()


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize(
    ("broker_url", "task", "arguments"),
    [("redis", "killer", ["child"]), ("rabbitmq", "never_ends", [])],
    indirect=["broker_url"],
)
def test_settings_that_loop_in_celery_end_after_three_runs(
    environment: dict[str, str], client: Celery, dead: DeadQueue, celery_processes: CeleryProcesses, store: Any,
    tmp_path: Path, task: str, arguments: list[str],
) -> None:  # fmt: skip
    """``reject_on_worker_lost`` and ``acks_on_timeout=False`` requeue for ever in plain Celery."""
    worker = celery_processes.worker(APP, environment)
    result = client.send_task(task, [str(tmp_path / "runs"), *arguments])
    (letter,) = dead.wait_for(1, limit=60)
    assert letter.kind is Kind.POISON_SUSPECT
    assert lines(tmp_path / "runs") == ["run"] * 3
    with pytest.raises(Exception, match="3 runs began"):
        result.get(timeout=10)
    assert client.send_task("echo", [1]).get(timeout=20) == [[1], {}]
    worker.stop(wait=30)
    assert StateStore(store.state_url(2)).run(lambda redis: redis.hlen(RUNS_KEY)) == 0, "nothing is left in the books"


@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_a_killer_of_whole_workers_is_found_and_its_neighbours_are_not(
    environment: dict[str, str], client: Celery, dead: DeadQueue, celery_processes: CeleryProcesses, tmp_path: Path
) -> None:
    """Three workers die by it; the messages that were prefetched beside it run as if nothing had been."""
    client.send_task("killer", [str(tmp_path / "runs"), "worker"])
    for number in range(6):
        client.send_task("bystander", [str(tmp_path / "bystanders"), number])
    for life in range(3):
        worker = celery_processes.worker(APP, environment, "--concurrency", "1", name=f"worker{life}", ready="")
        wait_until(lambda worker=worker: worker.poll() is not None, 30, "the worker is killed")  # type: ignore[misc]
    celery_processes.worker(APP, environment, "--concurrency", "1", name="survivor")
    (letter,) = dead.wait_for(1, limit=60)
    assert letter.kind is Kind.POISON_SUSPECT
    assert lines(tmp_path / "runs") == ["run"] * 3
    wait_until(lambda: len(set(lines(tmp_path / "bystanders"))) == 6, 30, "every bystander ran")
    assert len(dead.letters()) == 1
