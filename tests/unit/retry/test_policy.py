"""RetryPolicy: checked when built, reproducible."""

from __future__ import annotations

import pickle
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from fluxora_tasks import RetryPolicy
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry import RetryRule


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"base_delay": -1},
        {"base_delay": float("inf")},
        {"base_delay": float("nan")},
        {"max_delay": "long"},
        {"backoff_factor": 0.5},
        {"jitter": "sometimes"},
        {"jitter": 1.5},
        {"jitter": float("nan")},
        {"backoff_factor": float("inf")},
        {"backoff_factor": True},
        {"retry_on": "ValueError"},
        {"retry_on": [ValueError, 3]},
        {"give_up_on": ValueError("an instance")},
        {"max_elapsed": -1},
    ],
)
def test_a_wrong_value_is_refused_when_declared(wrong: dict[str, Any]) -> None:
    """A policy that cannot work never reaches a running task, and the message names the field."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_values_are_converted_once() -> None:
    """A timedelta, a single type and a boolean jitter are accepted at the border."""
    policy = RetryPolicy(base_delay=timedelta(seconds=3), retry_on=KeyError, jitter=True)  # type: ignore[arg-type]
    assert (policy.base_delay, policy.retry_on, policy.jitter) == (3.0, (KeyError,), "full")


def test_a_preview_is_the_schedule_of_that_seed() -> None:
    """The same seed gives the same delays; another seed gives others."""
    policy = RetryPolicy(max_attempts=6)
    assert policy.preview("task-1") == policy.preview("task-1")
    assert policy.preview("task-1") != policy.preview("task-2")
    assert len(policy.preview("task-1")) == 5
    assert len(policy.preview(7, 20)) == 20


def test_a_schedule_that_builds_on_itself_can_be_continued() -> None:
    """Whoever knows seed and attempt knows the delay before it, without having waited it."""
    policy = RetryPolicy(max_attempts=6, jitter="decorrelated")
    schedule = policy.preview("task-1")
    assert policy.delay_before("task-1", 1) is None
    assert [policy.delay_before("task-1", n) for n in range(2, 7)] == schedule
    assert RetryPolicy().delay_before("task-1", 3) is None


def test_a_policy_survives_pickle() -> None:
    """With its rules, equal to what it was."""
    policy = RetryPolicy(retry_on=KeyError, rules=[RetryRule(on=OSError, max_attempts=2)], jitter=0.3)
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_without_jitter_the_schedule_is_the_curve() -> None:
    """Base 1, factor 2, cap 5."""
    policy = RetryPolicy(base_delay=1, max_delay=5, jitter=False)
    assert policy.preview(n=5) == [1, 2, 4, 5, 5]
    assert policy.delay_after(3, Random(0)) == 4
