"""Tasks that leave a trace of every success, and of nothing else."""

from __future__ import annotations

from typing import Any

from celery import Celery

from fluxora_tasks import NonRetryableError, RetryableError, install

app = Celery("counting")
install(app)


@app.task(bind=True)
def count(self: Any, number: int, path: str) -> None:
    """Every seventh number is given up; every fifth succeeds at the second attempt."""
    if number % 7 == 0:
        raise NonRetryableError(f"{number} is a multiple of 7")
    if number % 5 == 0 and self.request.retries == 0:
        raise RetryableError(f"{number} is a multiple of 5")
    with open(path, "a") as file:
        file.write(f"{number}\n")
