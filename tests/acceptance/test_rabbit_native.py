"""What RabbitMQ itself gives up stands in the ledger with everything else, and can be sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.operations.context import open_dead_letters
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.records import Actor, DeadLetterSummary
from fluxora_tasks.queues import queue
from fluxora_tasks.settings import Settings
from tests.integration.rabbit.broker import Broker
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.apps.waiting"


@pytest.fixture
def environment(vhost_url: str, store: Any, tmp_path: Path) -> dict[str, str]:
    return {
        "TEST_QUEUES": "ours",
        "FLUXORA_BROKER_URL": vhost_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
        "FLUXORA_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
    }


@pytest.fixture
def broker(vhost_url: str) -> Iterator[Broker]:
    broker = Broker(vhost_url)
    broker.declare(queue("celery", delivery_limit=20))
    yield broker
    broker.close()


@pytest.fixture
def dead_letters(environment: dict[str, str], celery_processes: CeleryProcesses) -> DeadLetters:
    """The ledger of a running recorder."""
    celery_processes.recorder(APP, environment)
    settings = Settings(broker_url=environment["FLUXORA_BROKER_URL"], ledger_url=environment["FLUXORA_LEDGER_URL"])

    def opened() -> DeadLetters | None:
        try:
            return open_dead_letters(settings, lambda: Connection(settings.broker_url))
        except LedgerUnavailable:
            return None

    return wait_until(opened, 30, "the recorder has made the ledger")  # type: ignore[return-value]


def recorded(dead_letters: DeadLetters, status: str) -> list[DeadLetterSummary]:
    return [item for item in dead_letters.list().items if item.status == status]


def test_the_brokers_own_dead_letters_are_replayed(
    broker: Broker, dead_letters: DeadLetters, environment: dict[str, str], celery_processes: CeleryProcesses
) -> None:
    """Expired unseen, returned too often, rejected elsewhere: one record each, and each runs after a replay."""
    plain = Celery("somebody", broker=broker.url, set_as_current=False)
    plain.conf.task_queues = [queue("celery")]
    plain.send_task("moment", expires=0.05, task_id="expired")
    wait_until(lambda: len(recorded(dead_letters, "PENDING")) == 1, 30)
    plain.send_task("moment", task_id="rejected")
    wait_until(lambda: broker.find("celery")).reject(requeue=False)
    wait_until(lambda: len(recorded(dead_letters, "PENDING")) == 2, 30)
    plain.send_task("moment", task_id="returned")

    def returned_too_often() -> bool:
        message = broker.find("celery")
        if message is not None:
            message.reject(requeue=True)
        return len(recorded(dead_letters, "PENDING")) == 3

    wait_until(returned_too_often, 30)
    items = {item.task_id: item for item in recorded(dead_letters, "PENDING")}
    assert {task_id: (item.kind, item.queue) for task_id, item in items.items()} == {
        "expired": ("expired", "celery"),
        "rejected": ("broker_dlq", "celery"),
        "returned": ("delivery_limit", "celery"),
    }

    celery_processes.worker(APP, environment)
    results = dead_letters.replay([item.id for item in items.values()], Actor("tester", "the broker is well again"))

    assert {result.outcome for result in results} == {"done"}
    wait_until(lambda: len(recorded(dead_letters, "RESOLVED")) == 3, 30, "every replay ran")
    plain.close()
