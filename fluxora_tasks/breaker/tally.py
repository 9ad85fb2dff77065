"""Tally: results of calls admitted under one generation, until they are reported."""

from __future__ import annotations

from fluxora_tasks.breaker.counter import Counter
from fluxora_tasks.breaker.record import Counts


class Tally:
    """
    Counts successes without a lock; for all else hold the circuit's.

    Attributes:
        generation: Under which the calls were admitted.
        succeed: Call it once per success.
        trip_ms: As in ``Report``.
    """

    __slots__ = ("_bad", "_successes", "generation", "succeed", "trip_ms")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self._successes = Counter()
        self.succeed = self._successes.add
        self._bad = Counts()
        self.trip_ms: int | None = None

    def add(self, counts: Counts, trip_ms: int | None = None) -> None:
        """Count what was no plain success."""
        self._bad += counts
        if trip_ms is not None:
            self.trip_ms = max(trip_ms, self.trip_ms or 0)

    def pending(self) -> Counts:
        """What was not taken yet."""
        return self._bad + Counts(calls=self._successes.pending())

    def take(self) -> tuple[Counts, int | None]:
        """What was not taken yet, and is now."""
        counts, trip = self._bad + Counts(calls=self._successes.take()), self.trip_ms
        self._bad, self.trip_ms = Counts(), None
        return counts, trip
