"""Tests of Celery's suite that end differently with ``install(app)``, each with its reason."""

from __future__ import annotations

from typing import Final

_LATE = (
    "expects a running task to be acknowledged; install sets task_acks_late, so that a killed worker loses nothing. "
    "Fails in the same way with plain Celery and task_acks_late."
)
_BROKER_WAITS = (
    "expects a task with an ETA in the worker's list of scheduled ones; with us it waits in the broker, "
    "where it neither blocks the worker's prefetch nor runs twice after the visibility timeout."
)
_CONFIRMS = (
    "makes a publish fail by replacing channel.basic_publish; publisher confirms replace it too, so nothing fails. "
    "RabbitMQ only."
)

DIFFERENCES: Final = {
    "t.integration.test_inspect.test_Inspect::test_active": _LATE,
    "t.integration.test_inspect.test_Inspect::test_query_task": _LATE,
    "t.integration.test_inspect.test_Inspect::test_scheduled": _BROKER_WAITS,
    "t.integration.test_tasks.test_tasks::test_task_sent_event_respects_publish_retry_limit": _CONFIRMS,
}
