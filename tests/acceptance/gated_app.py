"""A Celery app whose tasks need circuits; started as a real worker."""

from __future__ import annotations

import json
import time
from typing import Any

from celery import Celery

from fluxora_tasks import (
    BreakerPolicy,
    CircuitBreaker,
    DefaultValueFallback,
    RetryPolicy,
    install,
)
from fluxora_tasks.retry import RetryBudget

app = Celery("gated")
app.conf.update(worker_prefetch_multiplier=8)
extension = install(app)

ONCE = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, base_delay=0.05, jitter=False, budget=RetryBudget(capacity=1))

#: One probe decides; opened by the tests, or by five failures.
DEPENDENCY = CircuitBreaker(name="dependency", policy=BreakerPolicy(probes=1, probes_required=1, cooldown=1.0))


def started(self: Any, what: Any) -> None:
    """Leave word of a run where the test finds it."""
    headers = self.request.headers or {}
    word = {"what": what, "at": time.time(), "retries": self.request.retries, "put_off": headers.get("fx_deferrals", 0)}
    assert extension.store is not None
    extension.store.run(lambda client: client.rpush("starts", json.dumps(word)))


@app.task(name="fetch", bind=True, breaker="dependency")
def fetch(self: Any, number: int) -> int:
    started(self, number)
    return number


@app.task(name="impatient", breaker="dependency", max_defer=1)
def impatient() -> None:
    raise AssertionError("never called")


@app.task(name="rejecting", breaker="dependency", on_open="reject")
def rejecting() -> None:
    raise AssertionError("never called")


@app.task(name="degrading", breaker="dependency", fallback=DefaultValueFallback("kept"))
def degrading() -> str:
    return "fresh"


@app.task(name="by_argument", bind=True, breaker=lambda tenant: f"tenant-{tenant}")
def by_argument(self: Any, tenant: str) -> str:
    started(self, tenant)
    return tenant


@DEPENDENCY
def _ask() -> str:
    return "answer"


@app.task(name="inner", bind=True)
def inner(self: Any) -> str:
    started(self, "inner")
    return _ask()


@app.task(name="failing", breaker="sick", retry_policy=ONCE)
def failing() -> None:
    raise ConnectionError("the other side is down")


@app.task(name="budgeted", retry_policy=TWICE)
def budgeted() -> None:
    raise ConnectionError("down")


@app.task(name="resting", bind=True, breaker="dependency", pause_queue=True)
def resting(self: Any, number: int) -> int:
    started(self, number)
    return number
