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
_RACE = (
    "sets the variable that its signal handler writes to after delay() has returned; with confirms that is after the "
    "worker got the message. Unstable with plain Celery too (fails two times in three when run alone)."
)
_FIRST_NEWS = (
    "expects the header's error, and gets the ChordError made of it where the client hears of the body first. "
    "A race in the client; unstable on a busy machine."
)

DIFFERENCES: Final = {
    "t.integration.test_inspect.test_Inspect::test_active": _LATE,
    "t.integration.test_inspect.test_Inspect::test_query_task": _LATE,
    "t.integration.test_inspect.test_Inspect::test_scheduled": _BROKER_WAITS,
    "t.integration.test_tasks.test_tasks::test_task_sent_event_respects_publish_retry_limit": _CONFIRMS,
    "t.integration.test_tasks.test_task_replacement::test_replaced_task_nesting_level_0": _RACE,
    "t.integration.test_canvas.test_chord::test_immutable_errback_called_by_chord_from_simple": _FIRST_NEWS,
}
