"""The result of a replay under a fresh task id, stored under the message's first id too [celery].

Whoever holds an ``AsyncResult`` of the first id, or a group with it, then finds what the replay came to. Every end of
a task goes through its backend's ``store_result``, in the pool as in the main process, and only where a result is to be
stored; so that is the one place.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from celery import states

from fluxora_tasks.deadletter.identity import ORIGINAL_ID

logger = logging.getLogger(__name__)


def original_id_of(request: Any) -> str | None:
    """The first task id of a message that is replayed under another; ``None`` for every other message."""
    headers = getattr(request, "headers", None)
    original = headers.get(ORIGINAL_ID) if isinstance(headers, Mapping) else None
    return original if isinstance(original, str) and original and original != request.id else None


def store_under_original_ids(app: Any) -> None:
    """Have the backends of an app store the end of a replay under both ids."""
    inner = app._get_backend

    @functools.wraps(inner)
    def _get_backend() -> Any:
        return storing_twice(inner())

    app._get_backend = _get_backend
    if app._backend is not None:  # somebody looked at it before
        storing_twice(app._backend)


def storing_twice(backend: Any) -> Any:
    """The backend; a result that is stored for a run under a fresh id is stored under the first one as well."""
    inner = backend.store_result

    @functools.wraps(inner)
    def store_result(
        task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **more: Any
    ) -> Any:
        stored = inner(task_id, result, state, traceback=traceback, request=request, **more)
        original = original_id_of(request) if request is not None and state in states.READY_STATES else None
        if original is not None and request.id == task_id:
            try:
                inner(original, result, state, traceback=traceback, request=request, **more)
            except Exception:
                logger.exception("the result of task %s could not be stored as that of %s", task_id, original)
        return stored

    backend.store_result = store_result
    return backend
