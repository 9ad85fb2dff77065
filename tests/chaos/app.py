"""The application under faults: one task that leaves a line per begin and per end of its body."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from fluxora_tasks import NonRetryableError, RetryableError, RetryPolicy, install, queue
from fluxora_tasks.deadletter.identity import MESSAGE_ID

#: "quorum": the work queue is one of ``fluxora_tasks.queue``; else Celery's own.
QUEUE = "CHAOS_QUEUE"

#: Names the file that survives everything that dies: one write per line, appended.
TRACE = "CHAOS_TRACE"


def configure(app: Celery, kind: str) -> None:
    """Choose the work queue, alike for senders and workers."""
    if kind == "quorum":
        app.conf.task_queues = [queue("work")]
        app.conf.task_default_queue = "work"


app = Celery("chaos")
app.conf.result_expires = 3600
install(app)
configure(app, os.environ.get(QUEUE, ""))


@app.task(name="work", bind=True, retry_policy=RetryPolicy(max_attempts=5, base_delay=0.2, max_delay=1.0, jitter=False))
def work(self: Any, number: int, seconds: float, failures: int, doomed: bool) -> int:
    """Sleeps; then fails for good, or for a transient reason so many times, or succeeds."""
    _note("began", number, self.request)
    time.sleep(seconds)
    if doomed:
        raise NonRetryableError(f"{number} is doomed")
    if self.request.retries < failures:
        raise RetryableError(f"{number} fails {failures} times")
    _note("ended", number, self.request)
    return number


def _note(what: str, number: int, request: Any) -> None:
    line = f"{what} {number} {request.headers[MESSAGE_ID]} {request.retries} {os.getpid()}\n"
    trace = os.open(os.environ[TRACE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(trace, line.encode())
    finally:
        os.close(trace)
