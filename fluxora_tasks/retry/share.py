"""One process's share of an allowance of retries that belongs to the whole fleet (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

#: Slices of the window that are forgotten together.
SLICES: Final = 10

#: Seconds for which the fleet's counts are believed.
_MAX_AGE: Final = 5.0


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """What all processes did in the window, as the store knows it.

    Attributes:
        processes: Those heard of in the window; at least 1.
    """

    firsts: int
    retries: int
    processes: int


class FleetShare:
    """
    How many retries this process may make: retries <= ratio * first attempts + floor * window, over the whole fleet.

    What is left of the fleet's allowance is divided by its processes at each exchange with the store; between two, the
    process's own first attempts add to its part. While the store is not heard, the process keeps the same rule for
    itself, with its part of the floor.

    Args:
        ratio: Retries per first attempt.
        floor: Retries per second of the fleet beside that.
        window: Seconds that are looked at.
        alone: There is no store, and so no fleet: the whole floor is this process's.
        random: Rounds a part to a whole number, so that parts below one add up, too.
    """

    def __init__(self, ratio: float, floor: float, window: float, alone: bool, random: Random) -> None:
        self._ratio, self._floor, self._window, self._random = ratio, floor, window, random
        self._own: dict[int, list[int]] = {}
        self._unsent = [0, 0]
        self._fleet: FleetCounts | None = FleetCounts(0, 0, 1) if alone else None
        self._heard_at = float("-inf")
        self._dice = 0.0

    def first(self, now: float) -> None:
        """A first attempt was made. ``now`` is monotonic, here and below."""
        self._count(0, now)

    def take(self, now: float) -> bool:
        """Whether one more retry may be made; counts it if so."""
        fresh = self._fleet is not None and now - self._heard_at <= _MAX_AGE
        if not (self._of_the_rest() if fresh else self._by_itself(now)):
            return False
        self._count(1, now)
        return True

    def unsent(self, now: float) -> tuple[int, int]:
        """First attempts and retries the store does not know of; what has left the window meanwhile is forgotten."""
        if now - self._heard_at > self._window:
            self._unsent = list(self._recent(now))
        return self._unsent[0], self._unsent[1]

    def heard(self, counts: FleetCounts, sent: tuple[int, int], now: float) -> None:
        """The store answered, and knows of what was sent."""
        self._fleet, self._heard_at, self._dice = counts, now, self._random.random()
        self._unsent = [self._unsent[0] - sent[0], self._unsent[1] - sent[1]]

    def _of_the_rest(self) -> bool:
        """Whether there is a retry left in this process's part of what the fleet has left."""
        assert self._fleet is not None
        firsts, retries, processes = self._fleet.firsts, self._fleet.retries, self._fleet.processes
        rest = self._ratio * firsts + self._floor * self._window - retries
        # below zero, too: what rounding spent too much is made up for, else every exchange would add to it
        part = rest / processes + self._ratio * self._unsent[0]
        return self._unsent[1] + 1 <= int(part + self._dice)

    def _by_itself(self, now: float) -> bool:
        """Whether its own retries stay within the rule; before it knows the fleet's size, with a slice of the floor."""
        firsts, retries = self._recent(now)
        span = self._window / SLICES if self._fleet is None else self._window / self._fleet.processes
        return retries + 1 <= int(self._ratio * firsts + self._floor * span)

    def _recent(self, now: float) -> tuple[int, int]:
        """Its own first attempts and retries in the window."""
        oldest = self._slice(now) - SLICES
        recent = [counts for at, counts in self._own.items() if at > oldest]
        return sum(firsts for firsts, _ in recent), sum(retries for _, retries in recent)

    def _count(self, kind: int, now: float) -> None:
        at = self._slice(now)
        if at not in self._own:
            self._own = {slice_: counts for slice_, counts in self._own.items() if slice_ > at - SLICES}
            self._own[at] = [0, 0]
        self._own[at][kind] += 1
        self._unsent[kind] += 1

    def _slice(self, now: float) -> int:
        return int(now * SLICES / self._window)
