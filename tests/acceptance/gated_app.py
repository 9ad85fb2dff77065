"""A Celery app whose tasks stand behind circuits; started as a real worker."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from fluxora_tasks import CircuitBreaker, DefaultValueFallback, RetryPolicy, install
from fluxora_tasks.breaker.registry import declare
from fluxora_tasks.retry import RetryBudget
from tests.acceptance.gated_policies import FRAGILE, GATE

app = Celery("gated")
app.conf.update(worker_prefetch_multiplier=4)
install(app)

for circuit in ("gate", "down"):
    declare(circuit, GATE)
declare("fragile", FRAGILE)

PLAN_B = DefaultValueFallback("plan b")

#: A line for each run goes here.
RUNS = Path(os.environ.get("TEST_RUNS", os.devnull))


def _note(task: Any, *more: Any) -> None:
    headers = task.request.headers or {}
    words = (task.request.id, time.time(), task.request.retries, headers.get("fx_deferrals", 0), *more)
    with RUNS.open("a") as runs:
        runs.write(" ".join(map(str, words)) + "\n")


@app.task(name="steady", bind=True, breaker="gate")
def steady(self: Any) -> None:
    _note(self)


@app.task(name="slow", bind=True, breaker="gate", pause_queue=True)
def slow(self: Any) -> None:
    began = time.time()
    time.sleep(0.2)
    _note(self, began)


@app.task(name="impatient", breaker="down", max_defer=1)
def impatient() -> None: ...


@app.task(name="rejecting", breaker="down", on_open="reject")
def rejecting() -> None: ...


@app.task(name="by_argument", breaker=lambda circuit: circuit, on_open="reject")
def by_argument(circuit: str) -> str:
    return f"ran under {circuit}"


@app.task(name="under_two", breaker=["up", "down"], on_open="reject")
def under_two() -> None: ...


@app.task(name="degraded", breaker="down", fallback=PLAN_B)
def degraded() -> str:
    return "plan a"


@app.task(name="patient", breaker="down", max_defer=1, on_open="defer", fallback=PLAN_B)
def patient() -> str:
    return "plan a"


@app.task(name="meets_it_inside", bind=True, max_defer=1)
def meets_it_inside(self: Any) -> None:
    _note(self)
    with CircuitBreaker(name="down"):
        pass


@app.task(name="without_budget", retry_policy=RetryPolicy(base_delay=0.1, budget=RetryBudget(0)))
def without_budget() -> None:
    raise ConnectionRefusedError("down")


@app.task(name="fails", breaker="fragile")
def fails() -> None:
    raise ValueError("broken")


@app.task(name="covered", breaker="fragile", fallback=PLAN_B)
def covered() -> None:
    raise ValueError("broken")
