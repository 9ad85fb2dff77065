"""The smallest application: three tasks without any option."""

from __future__ import annotations

import time

from celery import Celery

from fluxora_tasks import NonRetryableError, install

app = Celery("plain")
install(app)


@app.task
def double(number: int) -> int:
    """Succeeds."""
    return 2 * number


@app.task
def refuse(text: str) -> None:
    """Is given up at once."""
    raise NonRetryableError(text)


@app.task
def note_and_nap(path: str, seconds: float) -> float:
    """Notes that it started, then takes its time."""
    with open(path, "a") as file:
        file.write("started\n")
    time.sleep(seconds)
    return seconds
