"""How long and how often an operation lives on its fallback: said at once, then once per interval, then at its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from fluxora_tasks.events import FallbackEnded, FallbackUsed, emit
from fluxora_tasks.forks import watch_forks

logger = logging.getLogger(__name__)

#: Seconds between two sums; likewise how long no fallback must have been used before results of its own end it.
INTERVAL: Final = 60.0


class Activity:
    """The activations of one operation in this process.

    Attributes:
        active: Whether fallback values were given lately.
        total: Activations since the process began.
    """

    def __init__(self, operation: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._operation, self._monotonic = operation, monotonic
        self._lock = threading.Lock()
        self.active = False
        self.total = 0
        self._began = self._used = self._said = 0.0
        self._count = self._unsaid = 0
        watch_forks(self)

    def forked(self) -> None:
        """Another thread may have held the lock."""
        self._lock = threading.Lock()

    def used(self, source: str, cause: str) -> None:
        """A fallback value was given."""
        with self._lock:
            first, count = self._counted()
        if not count:
            return
        word = "fallback in use" if first else "fallback still in use"
        logger.warning("%s: %s gives %s after %s, %d times", word, self._operation, source, cause, count)
        emit(FallbackUsed(self._operation, source, cause, count))

    def succeeded(self) -> None:
        """The operation gave a result of its own; called while ``active``."""
        with self._lock:
            ended = self._over()
        if ended is None:
            return
        logger.warning("fallback ended: %s, after %.0f s and %d values", self._operation, ended.lasted, ended.count)
        emit(ended)

    def _counted(self) -> tuple[bool, int]:
        """Whether this is the first activation, and how many are to be told of now."""
        now, first = self._monotonic(), not self.active
        if first:
            self.active, self._began, self._count = True, now, 0
        self.total, self._count, self._unsaid, self._used = self.total + 1, self._count + 1, self._unsaid + 1, now
        if not first and now - self._said < INTERVAL:
            return first, 0
        self._said, told, self._unsaid = now, self._unsaid, 0
        return first, told

    def _over(self) -> FallbackEnded | None:
        if not self.active or self._monotonic() - self._used < INTERVAL:
            return None
        self.active, self._unsaid = False, 0
        return FallbackEnded(self._operation, self._used - self._began, self._count)
