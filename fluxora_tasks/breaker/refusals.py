"""Refusals told together: one line and one event per interval, however many calls were refused."""

from __future__ import annotations

import math
import threading
from typing import Final

from fluxora_tasks.breaker.counter import Counter
from fluxora_tasks.breaker.telling import tell
from fluxora_tasks.events import BreakerRefused
from fluxora_tasks.forks import watch_forks

#: Seconds.
TOGETHER: Final = 10.0


class Refusals:
    """Those of one circuit: the first is told at once, the others with the first one after the interval."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        """Begin anew in a child."""
        self._lock = threading.Lock()
        self._untold, self._next = Counter(), -math.inf

    def add(self, now: float, retry_after: float) -> None:
        """One more."""
        self._untold.add()
        if now < self._next:
            return
        with self._lock:
            count = self._untold.take() if now >= self._next else 0
            self._next = now + TOGETHER if count else self._next
        if count:
            tell([BreakerRefused(self._name, count, retry_after)])
