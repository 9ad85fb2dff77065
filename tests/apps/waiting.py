"""A Celery app on RabbitMQ whose tasks say when they ran, and what their message looked like then."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from fluxora_tasks import RetryableError, RetryPolicy, install
from fluxora_tasks.queues import queue

#: How the default queue of the application was declared.
QUEUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "topic": {
        "task_default_queue_type": "quorum",
        "task_default_exchange": "tasks",
        "task_default_exchange_type": "topic",
        "task_default_routing_key": "task.default",
    },
    "ours": {"task_queues": [queue("celery")]},
}

app = Celery("waiting")
app.conf.update(QUEUES[os.environ["TEST_QUEUES"]])
install(app)

SLOW = RetryPolicy(max_attempts=3, base_delay=2.5, max_delay=2.5, jitter=False)


@app.task(name="moment")
def moment() -> float:
    return time.time()


@app.task(name="third_time", bind=True, retry_policy=SLOW)
def third_time(self: Any) -> dict[str, Any]:
    if self.request.retries < 2:
        raise RetryableError("not yet")
    return seen(self)


@app.task(name="third_time_by_celery", bind=True, max_retries=5)
def third_time_by_celery(self: Any) -> dict[str, Any]:
    if self.request.retries < 2:
        raise self.retry(countdown=2.5)
    return seen(self)


@app.task(name="never", retry_policy=SLOW)
def never() -> None:
    raise RetryableError("never")


def seen(task: Any) -> dict[str, Any]:
    headers = task.request.headers or {}
    return {
        "at": time.time(),
        "exchange": task.request.delivery_info["exchange"],
        "routing_key": task.request.delivery_info["routing_key"],
        "deaths": len(headers.get("x-death", [])),
    }
