"""Fixtures of the fallback tests: a held clock, toggles and values of the test's own, the events it caused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fluxora_tasks import events
from fluxora_tasks.fallback.kept import LastGoodValues
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.outcome import forget_outcome
from fluxora_tasks.fallback.registry import use_last_good_values, use_toggles


class HeldClock:
    """Seconds that pass when told; ``ms`` is the same time as a store would tell it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at

    def ms(self) -> int:
        """In ms."""
        return round(self.at * 1000)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def switches(clock: HeldClock) -> MemoryToggleStore:
    """The store behind ``toggles()``."""
    return MemoryToggleStore(clock.ms)


@pytest.fixture(autouse=True)
def _of_its_own(switches: MemoryToggleStore, clock: HeldClock) -> Iterator[None]:
    use_toggles(Toggles(switches, switches, clock))
    use_last_good_values(LastGoodValues(None, clock))
    forget_outcome()
    yield
    use_toggles(None)
    use_last_good_values(None)


@pytest.fixture
def seen() -> Iterator[list[Any]]:
    """Every event of the test."""
    found: list[Any] = []
    unsubscribe = events.subscribe(found.append)
    yield found
    unsubscribe()
