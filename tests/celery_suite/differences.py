"""Tests of Celery's suite that end differently with ``install(app)``, each with its reason."""

from __future__ import annotations

from typing import Final

_LATE = (
    "expects a running task to be acknowledged; install sets task_acks_late, so that a killed worker loses nothing. "
    "Fails the same way with plain Celery and task_acks_late."
)

DIFFERENCES: Final = {
    "t.integration.test_inspect.test_Inspect::test_active": _LATE,
    "t.integration.test_inspect.test_Inspect::test_query_task": _LATE,
}
