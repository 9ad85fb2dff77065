"""What a row is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.measuring import Measure, Metric, Reading, Side


@dataclass(frozen=True, slots=True)
class Sides:
    """How to measure each side once.

    Attributes:
        measures: Called in each round.
        at_end: Called once after the last round; its readings are added.
    """

    measures: Mapping[Side, Measure]
    at_end: Callable[[], Mapping[Side, Reading]] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that costs something.

    Attributes:
        name: On the command line.
        title: In the report.
        budget: What the design allows.
        metrics: Figures of it, the budgeted one first.
        open: Prepares both sides.
        rounds: By default.
    """

    name: str
    title: str
    budget: str
    metrics: tuple[Metric, ...]
    open: Callable[[Bench], AbstractContextManager[Sides]]
    rounds: int = 6
