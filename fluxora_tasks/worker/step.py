"""The bootstep that ties the runtime to the worker's event loop [celery]."""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import bootsteps

from fluxora_tasks.task.base import adopt

logger = logging.getLogger(__name__)

#: Seconds a stopping worker waits for its last dead letters to be confirmed.
_DRAIN: Final = 5.0


class SettlementStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Attaches the loop when the consumer starts, and writes what is waiting before its connection closes."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._runtime = consumer.app.fluxora.runtime
        for task in consumer.app.tasks.values():
            adopt(task)  # tasks registered since the app was finalized

    def start(self, consumer: Any) -> None:
        """The consumer has a connection: work through its loop from now on."""
        self._runtime.attach(consumer.hub)

    def stop(self, consumer: Any) -> None:
        """The consumer stops or reconnects."""
        if not self._runtime.drain(_DRAIN):
            logger.error("dead letters are still unpublished; their messages stay with the broker")
