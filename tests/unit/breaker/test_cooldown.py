"""How long a circuit stays open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.breaker.cooldown import MOST_ATTEMPTS, cooldown_ms, next_attempt
from fluxora_tasks.breaker.policy import BreakerPolicy


@pytest.mark.parametrize(
    ("cooldown", "multiplier", "longest", "jitter", "attempt", "chance", "length_ms"),
    [
        (5, 2, 300, 0, 1, 0.5, 5_000),
        (5, 2, 300, 0, 2, 0.5, 10_000),
        (5, 2, 300, 0, 3, 0.5, 20_000),
        (5, 2, 300, 0, 7, 0.5, 300_000),  # 320 s would be too long
        (5, 2, 300, 0, 10**6, 0.5, 300_000),  # no overflow, and no long loop
        (5, 1, 300, 0, 10**9, 0.5, 5_000),  # never grows
        (0, 2, 300, 0.1, 10**9, 0.5, 0),
        (300, 2, 300, 0, 1, 0.5, 300_000),
        (5, 2, 300, 0.1, 1, 0.0, 5_000),  # chance only adds
        (5, 2, 300, 0.1, 1, 0.5, 5_250),
        (5, 2, 300, 1.0, 7, 0.999, 599_700),  # also to the longest
        (0.0014, 2, 300, 0, 1, 0.5, 1),  # whole ms
        (0.0014, 2, 300, 0, 2, 0.5, 2),
        (1, 1.5, 300, 0, 3, 0.5, 2_250),
    ],
)
def test_length(
    cooldown: float, multiplier: float, longest: float, jitter: float, attempt: int, chance: float, length_ms: int
) -> None:
    """It grows by the multiplier up to the longest; chance adds up to its share."""
    policy = BreakerPolicy(cooldown=cooldown, multiplier=multiplier, cooldown_max=longest, jitter=jitter)
    assert cooldown_ms(policy, attempt, chance) == length_ms


@pytest.mark.parametrize(
    ("cooldown", "multiplier", "attempts", "following"),
    [
        (5, 2, 0, 1),
        (5, 2, 6, 7),  # 160 s, then 300 s
        (5, 2, 7, 7),  # cannot be longer, and decay would have to undo what had no effect
        (300, 2, 0, 1),
        (300, 2, 1, 1),
        (5, 1, 999, MOST_ATTEMPTS),
        (5, 1, MOST_ATTEMPTS, MOST_ATTEMPTS),
    ],
)
def test_attempts(cooldown: float, multiplier: float, attempts: int, following: int) -> None:
    """Openings are counted for as long as they make the cooldown longer."""
    policy = BreakerPolicy(cooldown=cooldown, multiplier=multiplier, cooldown_max=300)
    assert next_attempt(policy, attempts) == following


@given(
    st.floats(0, 100),
    st.floats(1, 100),
    st.floats(100, 1000),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 2000),
)
def test_a_cooldown_is_bounded_and_never_shrinks(
    cooldown: float, multiplier: float, longest: float, jitter: float, chance: float, attempt: int
) -> None:
    """Never above the longest plus its jitter, never below the first one, never shorter than the one before."""
    policy = BreakerPolicy(cooldown=cooldown, multiplier=multiplier, cooldown_max=longest, jitter=jitter)
    first, this, following = (cooldown_ms(policy, number, chance) for number in (1, attempt, attempt + 1))
    assert policy.cooldown_ms <= first <= this <= following <= policy.cooldown_max_ms * (1 + jitter) + 1
