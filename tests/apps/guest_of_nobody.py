"""An application of somebody else, without us: the plain Celery that others are compared with."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("guest", broker=os.environ.get("GUEST_BROKER", "memory://"), backend=os.environ.get("GUEST_RESULTS"))
app.conf.task_routes = {"*.special": {"queue": "special"}}


@app.task
def double(number: int) -> int:
    """Succeeds."""
    return 2 * number


@app.task
def special() -> None:
    """Is routed to a queue of its own."""
