"""Delay curves and jitter."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.retry.backoff import ceiling, jittered

KINDS = ["full", "equal", "decorrelated", "none", 0.0, 0.25, 1.0]


@pytest.mark.parametrize(
    ("attempt", "base", "factor", "cap", "expected"),
    [
        (1, 1.0, 2.0, 60.0, 1.0),  # the first delay has the base as its ceiling
        (2, 1.0, 2.0, 60.0, 2.0),
        (3, 1.0, 2.0, 60.0, 4.0),
        (10, 1.0, 2.0, 60.0, 60.0),  # at the cap
        (100_000, 1.0, 2.0, 60.0, 60.0),  # far past the cap: no overflow
        (100_000, 5.0, 1.0, 60.0, 5.0),  # a factor of one never grows
        (3, 0.0, 2.0, 60.0, 0.0),  # no base, no wait
        (1, 90.0, 2.0, 60.0, 60.0),  # a base above the cap is the cap
    ],
)
def test_ceiling(attempt: int, base: float, factor: float, cap: float, expected: float) -> None:
    """The ceiling grows by the factor, ends at the cap and never overflows."""
    assert ceiling(attempt, base, factor, cap) == pytest.approx(expected)


def test_attempts_count_from_one() -> None:
    """Attempt 0 does not exist."""
    with pytest.raises(ValueError, match="counts from 1"):
        ceiling(0, 1, 2, 60)


@given(
    attempt=st.integers(1, 10_000),
    base=st.floats(0, 1e4),
    factor=st.floats(1, 100),
    cap=st.floats(0, 1e5),
    kind=st.sampled_from(KINDS),
    seed=st.integers(),
)
def test_no_delay_is_above_the_cap(attempt: int, base: float, factor: float, cap: float, kind: str, seed: int) -> None:
    """Whatever the jitter, a delay lies in [0, cap]."""
    delay = jittered(ceiling(attempt, base, factor, cap), base, cap, None, kind, Random(seed))  # type: ignore[arg-type]
    assert 0 <= delay <= max(cap, 0)


def test_a_share_goes_downward() -> None:
    """A quarter: between three quarters of the ceiling and all of it, spread over that."""
    random = Random(3)
    delays = [jittered(60.0, 1.0, 60.0, None, 0.25, random) for _ in range(500)]
    assert 45 <= min(delays) < 46
    assert 59 < max(delays) <= 60


def test_delays_at_the_cap_do_not_collapse_to_one_value() -> None:
    """Jitter is applied after the cap."""
    random = Random(1)
    assert len({jittered(60.0, 1.0, 60.0, None, "full", random) for _ in range(50)}) == 50


def test_decorrelated_follows_the_previous_delay() -> None:
    """The next delay lies between the base and three times the previous one."""
    random = Random(2)
    assert all(1 <= jittered(0, 1.0, 100.0, 4.0, "decorrelated", random) <= 12 for _ in range(200))
