"""What goes wrong at the demand service, and when: a schedule fixed by its seed (pure).

A fault belongs to a day and to the number of the request for that day, so the order in which workers ask changes
nothing. Only the outage goes by the clock, as outages do; requests during it do not count as requests for a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from random import Random
from typing import Final

_TUESDAY, _FRIDAY = 1, 4
#: Days at either end of the record that are never corrupted: a chain with enough history before it, and after it.
_HISTORY: Final = 14
_MARGIN: Final = 7


class Fault(StrEnum):
    """One way in which a request is not answered as it should be."""

    BUSY = "busy"
    BUSY_WITH_HINT = "busy_with_hint"
    SLOW = "slow"
    RESET = "reset"
    TRUNCATED = "truncated"
    NONSENSE = "nonsense"


#: What the first requests for a day meet, and how many of 84 days meet it; the other days meet nothing.
_MISHAPS: Final[Mapping[tuple[Fault, ...], int]] = {
    (Fault.BUSY,): 8,
    (Fault.BUSY_WITH_HINT,): 6,
    (Fault.SLOW,): 8,
    (Fault.RESET,): 4,
    (Fault.BUSY, Fault.BUSY_WITH_HINT): 3,
    (Fault.SLOW, Fault.BUSY): 2,
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The faults of one run.

    Attributes:
        mishaps: Per day, what its first requests meet, in order; afterwards all is well.
        corrupted: Days whose body is wrong until they are repaired.
    """

    mishaps: Mapping[date, Sequence[Fault]] = field(default_factory=dict)
    corrupted: Mapping[date, Fault] = field(default_factory=dict)

    def fault(self, day: date, request: int) -> Fault | None:
        """What the given request for a day meets; requests count from 1."""
        mishaps = self.mishaps.get(day, ())
        return mishaps[request - 1] if request <= len(mishaps) else None


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which nothing is answered.

    Attributes:
        after: Requests that are answered before it.
        seconds: How long it lasts from then on; 0: none.
    """

    after: int
    seconds: float


def schedule(seed: int, days: Sequence[date]) -> Schedule:
    """The faults for these days; the same for the same seed."""
    random = Random(seed)  # noqa: S311  a schedule, not a secret
    hands = [mishaps for mishaps, count in _MISHAPS.items() for _ in range(count)]
    order = list(days)
    random.shuffle(order)
    return Schedule(
        mishaps=dict(zip(order, hands, strict=False)),
        corrupted=_corrupted(random, days[_HISTORY : len(days) - _MARGIN]),
    )


def _corrupted(random: Random, days: Sequence[date]) -> dict[date, Fault]:
    """A Tuesday and a Friday: neither is in the lookback of the other, so the order of their repair is no matter."""
    chosen = {}
    for weekday, fault in ((_TUESDAY, Fault.TRUNCATED), (_FRIDAY, Fault.NONSENSE)):
        candidates = [day for day in days if day.weekday() == weekday]
        if candidates:
            chosen[random.choice(candidates)] = fault
    return chosen
