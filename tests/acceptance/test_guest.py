"""An installed worker consumes what a plain one does, asked of both while they run."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from tests.acceptance.test_memory import INSTALLED, PLAIN
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url"))


def test_it_consumes_the_queues_a_plain_worker_consumes(broker_url: str, celery_processes: CeleryProcesses) -> None:
    """Both side by side on one broker, so the queues one declares must suit the other; names, types and arguments."""
    for app in (PLAIN, INSTALLED):
        celery_processes.worker(app, {"GUEST_BROKER": broker_url}, "--concurrency", "1", name=app)
    nodes = {f"{app}@localhost" for app in (PLAIN, INSTALLED)}
    client = Celery(broker=broker_url, set_as_current=False)

    def queues() -> dict[str, Any]:
        return client.control.inspect(list(nodes), timeout=5, limit=len(nodes)).active_queues() or {}

    found = wait_until(lambda: (told := queues()) and set(told) == nodes and told, 30, "both answer")
    plain, installed = found[f"{PLAIN}@localhost"], found[f"{INSTALLED}@localhost"]
    assert [queue["name"] for queue in plain] == ["celery"]
    assert installed == plain
