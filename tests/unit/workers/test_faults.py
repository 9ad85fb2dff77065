"""The schedule of faults is fixed by its seed and has everything in it."""

from __future__ import annotations

import pytest

from workers.demand.faults import Fault, schedule
from workers.demand.forecast import lookback
from workers.demand.records import FIRST_DAY, recorded_days

DAYS = list(recorded_days())
SEEDS = range(50)


def test_the_same_seed_is_the_same_schedule() -> None:
    """Nothing but the seed and the days decides."""
    assert schedule(7, DAYS) == schedule(7, DAYS)
    assert schedule(7, DAYS) != schedule(8, DAYS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_brings_every_kind_of_fault(seed: int) -> None:
    """No run is without a busy answer of either kind, a slow one, a reset, and two corrupted days."""
    plan = schedule(seed, DAYS)
    met = {fault for mishaps in plan.mishaps.values() for fault in mishaps}
    assert met == {Fault.BUSY, Fault.BUSY_WITH_HINT, Fault.SLOW, Fault.RESET}
    assert sorted(plan.corrupted.values()) == [Fault.NONSENSE, Fault.TRUNCATED]


@pytest.mark.parametrize("seed", SEEDS)
def test_corrupted_days_have_a_chain_and_do_not_depend_on_each_other(seed: int) -> None:
    """Each is late enough to be forecast, and out of the other's lookback."""
    first, second = sorted(schedule(seed, DAYS).corrupted)
    assert first >= DAYS[14]
    assert first not in lookback(second, FIRST_DAY)


def test_mishaps_end() -> None:
    """After its mishaps, a day is answered, however often it is asked for."""
    plan = schedule(7, DAYS)
    for day in DAYS:
        mishaps = plan.mishaps.get(day, ())
        assert [plan.fault(day, n + 1) for n in range(len(mishaps))] == list(mishaps)
        assert plan.fault(day, len(mishaps) + 1) is None
