"""What is measured and how rounds are put together; pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Who is measured."""

    PLAIN = "plain"
    OURS = "ours"


Reading = Mapping[str, float]
Measure = Callable[[], Reading]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a row.

    Attributes:
        key: Its name in a reading.
        title: What it says.
        unit: After the number.
        digits: Behind the decimal point.
        better: ``more``, ``less``, or empty where neither is better; a ratio above 1 is always the better one.
    """

    key: str
    title: str
    unit: str
    digits: int = 0
    better: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """One metric over all rounds of one side."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The greatest."""
        return max(self.values)


def order(rounds: int) -> Iterator[tuple[Side, Side]]:
    """The sides of each round, the order turned every time."""
    for number in range(rounds):
        yield (Side.PLAIN, Side.OURS) if number % 2 == 0 else (Side.OURS, Side.PLAIN)


def samples(readings: Sequence[Reading], metric: Metric) -> Samples | None:
    """The metric's values; ``None`` where this side has none."""
    values = tuple(reading[metric.key] for reading in readings if metric.key in reading)
    return Samples(values) if values else None


def ratio(metric: Metric, plain: Samples | None, ours: Samples | None) -> Samples | None:
    """How much better ours is, round by round; above 1 is better. ``None`` where that has no meaning."""
    if not metric.better or plain is None or ours is None or len(plain.values) != len(ours.values):
        return None
    pairs = list(zip(plain.values, ours.values, strict=True))
    if any(p <= 0 or o <= 0 for p, o in pairs):
        return None
    return Samples(tuple(o / p if metric.better == "more" else p / o for p, o in pairs))
