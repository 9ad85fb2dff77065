"""Which results are not the body's own: kept beside them in shared state, for whoever reads a result [redis]."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.state import PREFIX, StateStore

logger = logging.getLogger(__name__)

#: Seconds a mark is kept where results never expire.
_LONGEST: Final = 30 * 86_400


def mark_key(task_id: str) -> str:
    """Where the mark of a result is kept."""
    return f"{PREFIX}dg:{task_id}"


class DegradedResults:
    """
    Marks results that a fallback gave. Written before the result, so whoever sees the result sees its mark.

    Args:
        store: ``None``: nothing is marked.
        ttl: Seconds a mark is kept, as long as the result; ``None``: results never expire.
    """

    def __init__(self, store: StateStore | None, ttl: float | None) -> None:
        self._store = store
        self._ttl_ms = max(1, round(min(ttl or _LONGEST, _LONGEST) * 1000))

    def note(self, task_id: str, meta: Mapping[str, Any]) -> None:
        """Mark a result; without shared state only the log has it."""
        if self._store is None:
            return
        text = json.dumps(meta)
        try:
            self._store.run(lambda client: client.set(mark_key(task_id), text, px=self._ttl_ms))
        except StoreUnavailable:
            logger.warning("a result could not be marked as degraded: shared state is away")

    def of(self, task_id: str) -> dict[str, Any] | None:
        """
        How a fallback came to give this result (``degraded``, ``source``, ``age``, ``cause``); ``None``: it did not.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        if self._store is None:
            return None
        text: Any = self._store.run(lambda client: client.get(mark_key(task_id)))
        return None if text is None else dict(json.loads(text))
