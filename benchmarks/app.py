"""The application that is measured: with ``install`` or without, otherwise the same settings.

A worker process makes it from ``BENCH_*`` variables; the driving process makes one per side.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from billiard import current_process
from celery import Celery

from benchmarks.counter import RunCounter
from benchmarks.measuring import Side
from fluxora_tasks import RetryPolicy, Settings, install

VARIABLE = "BENCH_APP"

#: Seconds between attempts of ``flaky``, on both sides.
RETRY_DELAY = 1.0
FLAKY_FAILURES = 2


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How to make the application.

    Attributes:
        side: With ``install`` or without.
        broker: URL.
        backend: URL of the result backend; results are ignored, and state lives there where the broker is not Redis.
        counter: File that counts runs.
        settings: Settings of ours other than the default.
    """

    side: Side
    broker: str
    backend: str
    counter: str
    settings: dict[str, Any]

    def to_json(self) -> str:
        """For the environment of a worker."""
        return json.dumps(asdict(self))


def make_app(options: AppOptions) -> Celery:
    """The application of one side."""
    app = Celery("benchmarks", broker=options.broker, backend=options.backend, set_as_current=False)
    app.conf.update(task_acks_late=True, task_ignore_result=True)
    if options.side is Side.OURS:
        install(app, Settings(**options.settings))
    _declare(app, options, RunCounter(options.counter))
    return app


def _declare(app: Celery, options: AppOptions, counter: RunCounter) -> None:
    def slot() -> int:
        return int(getattr(current_process(), "index", 0))

    @app.task(name="noop", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
    def noop() -> None:
        counter.add(slot())

    @app.task(name="fail", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
    def fail() -> None:
        counter.add(slot())
        raise ValueError("as expected")

    retrying: dict[str, Any] = (
        {
            "retry_policy": RetryPolicy(
                max_attempts=FLAKY_FAILURES + 1, base_delay=RETRY_DELAY, backoff_factor=1, jitter=False
            )
        }
        if options.side is Side.OURS
        else {
            "autoretry_for": (ConnectionError,),
            "default_retry_delay": RETRY_DELAY,
            "max_retries": FLAKY_FAILURES,
        }
    )

    @app.task(name="flaky", bind=True, shared=False, **retrying)  # type: ignore[untyped-decorator]  # Celery is untyped
    def flaky(self: Any) -> None:
        if self.request.retries < FLAKY_FAILURES:
            raise ConnectionError("not yet")
        counter.add(slot())


if VARIABLE in os.environ:
    _given = json.loads(os.environ[VARIABLE])
    app = make_app(AppOptions(**{**_given, "side": Side(_given["side"])}))
