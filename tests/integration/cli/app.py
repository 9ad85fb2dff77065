"""A Celery app whose one task fails until its cause is repaired; run by real processes."""

from __future__ import annotations

from pathlib import Path

from celery import Celery

from fluxora_tasks import NonRetryableError, install

app = Celery("repairable")
install(app)


@app.task(name="read_meter")
def read_meter(path: str, *readings: object) -> str:
    """Fails for good until the file exists."""
    if not Path(path).exists():
        raise NonRetryableError(f"no meter at {path} \x1b[31m")
    return "read"


@app.task(name="fetch_price", breaker="prices")
def fetch_price() -> None: ...
