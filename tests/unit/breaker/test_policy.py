"""Rules of a circuit: what they may be, and how two of them are told apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.errors import ConfigurationError


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("window", 0.5, "window is a number from 1 to 86400; got 0.5"),
        ("window", "60", "window is a number"),
        ("window", True, "window is a number"),  # an int to Python
        ("window", float("nan"), "window is a number"),
        ("window", None, "window is a number"),
        ("cooldown", -1, "cooldown is a number from 0"),
        ("cooldown", timedelta(days=8), "cooldown is a number"),
        ("multiplier", 0.5, "multiplier is a number from 1"),
        ("jitter", 1.1, "jitter is a number from 0 to 1"),
        ("failure_rate", 0, "failure_rate is above 0"),
        ("slow_rate", 0.0, "slow_rate is above 0"),
        ("failure_rate", 50, "failure_rate is a number from 0 to 1"),  # not a percentage
        ("buckets", 61, "buckets is a whole number from 1 to 60"),
        ("buckets", 6.0, "buckets is a whole number"),
        ("min_calls", 0, "min_calls is a whole number from 1"),
        ("min_calls", True, "min_calls is a whole number"),
        ("all_failed", 0, "all_failed is a whole number from 1"),  # None is never
        ("min_reporters", 33, "min_reporters is a whole number from 1 to 32"),
        ("probes_required", 4, r"probes_required is at most probes \(3\)"),
        ("cooldown_max", 1, r"cooldown_max is at least cooldown \(5.0\)"),
        ("trip_on", 503, "trip_on takes a function"),
        ("on_store_down", "fail", "'local', 'open' or 'closed'"),
    ],
)
def test_unfit(option: str, value: Any, words: str) -> None:
    """A rule that means nothing is refused where it is declared, with what may stand there."""
    with pytest.raises(ConfigurationError, match=words):
        BreakerPolicy(**{option: value})


def test_durations() -> None:
    """A timedelta is as good as seconds; both are kept as seconds, and counted in whole ms."""
    spans: dict[str, Any] = {"window": timedelta(minutes=1), "cooldown": timedelta(seconds=1.5)}
    policy = BreakerPolicy(cooldown_max=20, buckets=7, **spans)
    assert (policy.window, policy.cooldown) == (60.0, 1.5)
    assert (policy.bucket_ms, policy.cooldown_ms, policy.cooldown_max_ms) == (8571, 1500, 20_000)


def test_decay() -> None:
    """Without a time of its own one window undoes one opening."""
    assert (BreakerPolicy(window=30).decay_ms, BreakerPolicy(attempt_decay=0.001).decay_ms) == (30_000, 1)


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({"cooldown": 5}, False),  # the same number, written otherwise
        ({"cooldown": 5.5}, True),
        ({"probes": 4}, True),
        ({"slow_call": 1}, True),
        ({"on_store_down": "open"}, False),  # of each process alone
        ({"trip_on": bool}, False),
    ],
)
def test_digests(changes: dict[str, Any], is_another: bool) -> None:
    """Two workers have the same rules where every number in force is the same."""
    assert (replace(BreakerPolicy(), **changes).digest != BreakerPolicy().digest) is is_another
