"""Rolling counts, and the rules that they break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Counts
from fluxora_tasks.breaker.window import MOST_REPORTERS, Window, exceeded

#: Buckets of 10 s.
POLICY = BreakerPolicy(window=60, buckets=6)
EMPTY = Window().shaped(POLICY)


def seconds(time: float) -> int:
    """In ms."""
    return round(time * 1000)


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (0, Counts(5, 2, 1)),
        (9.999, Counts(5, 2, 1)),  # the bucket it was counted in
        (59.999, Counts(5, 2, 1)),  # the last moment of the sixth bucket
        (60, Counts()),
        (120, Counts()),  # the same place of the ring, another time
        (-10, Counts()),  # a clock that was set back sees no future
    ],
)
def test_forgetting(later: float, left: Counts) -> None:
    """Counts stay for as many buckets as the window has."""
    window = EMPTY.with_counts(Counts(5, 2, 1), seconds(1200))
    assert window.total(seconds(1200 + later)) == left


def test_a_bucket_adds_up_and_its_place_is_used_again() -> None:
    """Within one bucket counts are added; one window later its place starts at zero."""
    window = EMPTY.with_counts(Counts(1, 1), 0).with_counts(Counts(2, 0, 1), 9_999)
    assert window.total(9_999) == Counts(3, 1, 1)
    window = window.with_counts(Counts(4), seconds(60))
    assert (window.total(seconds(60)), len(window.ring)) == (Counts(4), 1)


def test_an_unused_window_is_empty() -> None:
    """It has no shape yet, and holds nothing."""
    assert (Window().total(5), Window().seen_by(5)) == (Counts(), ())


def test_reporters_are_forgotten_with_their_bucket() -> None:
    """Seen again means kept longer."""
    window = EMPTY.with_reporter("b", 0).with_reporter("a", 0).with_reporter("b", seconds(50))
    assert window.seen_by(seconds(59)) == ("a", "b")
    assert window.seen_by(seconds(60)) == ("b",)


def test_reporters_are_bounded() -> None:
    """Of too many the first ones are kept, until they are forgotten and make room."""
    window = EMPTY
    for number in range(MOST_REPORTERS + 1):
        window = window.with_reporter(f"w{number}", 0)
    assert len(window.reporters) == MOST_REPORTERS
    assert "w32" not in window.with_reporter("w32", 0).seen_by(0)
    assert window.with_reporter("w32", seconds(60)).seen_by(seconds(60)) == ("w32",)


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 9)), max_size=40),
    st.integers(1, 60),
    st.sampled_from([1.0, 7.0, 10.0]),
)
def test_what_is_seen_is_at_most_the_window(steps: list[tuple[int, int]], buckets: int, length: float) -> None:
    """All of the last window but one bucket is counted, and nothing older than the window."""
    policy = BreakerPolicy(window=length, buckets=buckets)
    window, now, calls = Window().shaped(policy), 0, []
    for pause, number in steps:
        now += pause
        window = window.with_counts(Counts(number), now)
        calls.append((now, number))
    span = policy.bucket_ms * buckets
    newest = sum(number for at, number in calls if at > now - span + policy.bucket_ms)
    oldest = sum(number for at, number in calls if at > now - span)
    assert newest <= window.total(now).calls <= oldest


RULES = BreakerPolicy(min_calls=10, failure_rate=0.5, slow_call=1, slow_rate=0.8, all_failed=5, min_reporters=2)


@pytest.mark.parametrize(
    ("counts", "reporters", "reason"),
    [
        (Counts(10, 5), 2, "failure_rate"),  # reached is enough
        (Counts(10, 4), 2, ""),
        (Counts(9, 8), 2, ""),  # too few calls for a rate, and one success
        (Counts(10, 5), 1, ""),  # too few workers
        (Counts(10, 0, 8), 2, "slow_rate"),
        (Counts(10, 0, 7), 2, ""),
        (Counts(10, 5, 8), 2, "failure_rate"),  # of two the first
        (Counts(5, 5), 2, "all_failed"),
        (Counts(4, 4), 2, ""),
        (Counts(6, 5), 2, ""),
        (Counts(0, 0), 2, ""),
    ],
)
def test_rules(counts: Counts, reporters: int, reason: str) -> None:
    """A rule is broken where its threshold is reached and enough workers saw it."""
    assert exceeded(RULES, counts, reporters) == reason


@pytest.mark.parametrize(
    ("policy", "counts", "reason"),
    [
        (BreakerPolicy(all_failed=None, min_calls=10), Counts(9, 9), ""),
        (BreakerPolicy(all_failed=20, min_calls=1, failure_rate=1.0), Counts(1, 1), "failure_rate"),
        (BreakerPolicy(all_failed=1, min_calls=10), Counts(1, 1), "all_failed"),
        (BreakerPolicy(min_calls=1, failure_rate=1.0, all_failed=None), Counts(1000, 999), ""),
    ],
)
def test_rules_at_their_limits(policy: BreakerPolicy, counts: Counts, reason: str) -> None:
    """The least and the most that a policy may ask for."""
    assert exceeded(policy, counts, 1) == reason
