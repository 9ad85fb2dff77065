"""Tally: results of calls admitted under one generation, until they are reported."""

from __future__ import annotations

import itertools

from fluxora_tasks.breaker.record import Counts


class Tally:
    """
    Counts successes without a lock (``next`` of an ``itertools.count`` is one step); for all else hold the circuit's.

    Attributes:
        generation: Under which the calls were admitted.
        succeed: Call it once per success.
        trip_ms: As in ``Report``.
    """

    __slots__ = ("_asked", "_bad", "_counter", "_told", "generation", "succeed", "trip_ms")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self._counter = itertools.count()
        self.succeed = self._counter.__next__
        self._asked, self._told = 0, 0
        self._bad = Counts()
        self.trip_ms: int | None = None

    def add(self, counts: Counts, trip_ms: int | None = None) -> None:
        """Count what was no plain success."""
        self._bad += counts
        if trip_ms is not None:
            self.trip_ms = max(trip_ms, self.trip_ms or 0)

    def pending(self) -> Counts:
        """What was not taken yet."""
        return self._bad + Counts(calls=self._successes() - self._told)

    def take(self) -> tuple[Counts, int | None]:
        """What was not taken yet, and is now."""
        successes = self._successes()
        counts, trip = self._bad + Counts(calls=successes - self._told), self.trip_ms
        self._told, self._bad, self.trip_ms = successes, Counts(), None
        return counts, trip

    def _successes(self) -> int:
        """Counting is the only way to read the counter, so what was read is subtracted."""
        self._asked += 1
        return next(self._counter) - (self._asked - 1)
