"""How long a call takes, and what a page took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

#: Milliseconds of a page with its total.
BUDGET: Final = 50.0
ROUNDS: Final = 7


@dataclass(frozen=True)
class PageTiming:
    """Milliseconds of a page, the first and one from the middle, each with its total.

    Attributes:
        deep: ``None``: there is only one page.
        total: Of the total alone, where it is asked for by itself.
        found: How many there are.
    """

    name: str
    wanted: str
    first: float
    deep: float | None
    total: float | None
    found: str

    @property
    def is_within(self) -> bool:
        """Both pages keep the budget."""
        return max(self.first, self.deep or 0.0) <= BUDGET


def milliseconds(call: Callable[[], Any]) -> float:
    """The median of some rounds; of fewer, where it takes long."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
        if took[-1] > BUDGET * 20:
            break
    return median(took)
