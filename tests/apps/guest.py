"""The application of `guest_of_nobody`, with the one line that adopts us."""

from __future__ import annotations

import os

from celery import Celery

from fluxora_tasks import install

app = Celery("guest", broker=os.environ.get("GUEST_BROKER", "memory://"), backend=os.environ.get("GUEST_RESULTS"))
app.conf.task_routes = {"*.special": {"queue": "special"}}
install(app)


@app.task
def double(number: int) -> int:
    """Succeeds."""
    return 2 * number


@app.task
def special() -> None:
    """Is routed to a queue of its own."""
