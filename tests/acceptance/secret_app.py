"""A Celery app whose tasks fail with a secret in every text they can reach; started as a real worker."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from fluxora_tasks import RetryableError, RetryPolicy, install

app = Celery("secretive")
app.conf.update(
    task_default_queue=os.environ.get("TEST_QUEUE", "celery"),
    worker_send_task_events=True,
    task_send_sent_event=True,
)
install(app)

QUICK = RetryPolicy(max_attempts=2, base_delay=0.05, jitter=False)


class Unpicklable(Exception):
    """An exception that does not survive pickle."""

    def __init__(self, text: str, other: str) -> None:
        super().__init__(text)
        self.handle = lambda: other


@app.task(name="by_name")
def by_name(user: str, *, password: str) -> None:
    raise ValueError(f"cannot log {user} in with {password!r}")


@app.task(name="by_position")
def by_position(user: str, token: str) -> None:
    try:
        raise ValueError(token)
    except ValueError as error:
        raise RuntimeError(f"{user} is refused") from error


@app.task(name="by_header", bind=True)
def by_header(self: Any) -> None:
    raise ValueError(self.request.headers["x-api-key"])


@app.task(name="unpicklable")
def unpicklable(token: str) -> None:
    raise Unpicklable(token, token)


@app.task(name="retried", retry_policy=QUICK)
def retried(settings: dict[str, Any]) -> None:
    raise RetryableError(settings["db"]["password"])


@app.task(name="from_nowhere")
def from_nowhere(first: str, second: str) -> None:
    raise ValueError(f"POST /login?password={first}{second} was refused")


@app.task(name="aborts")
def aborts(secret: str) -> None:
    raise SystemExit(secret)


@app.task(name="echoes")
def echoes(token: str) -> str:
    return token
