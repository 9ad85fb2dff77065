"""Activations are said at once, then summed, then ended."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fluxora_tasks.events import FallbackEnded, FallbackUsed
from fluxora_tasks.fallback.activity import INTERVAL, Activity
from tests.unit.fallback.conftest import HeldClock


def test_many_activations_are_few_lines(clock: HeldClock, seen: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """The first at once, a sum per interval, one at the end; the counts add up."""
    activity = Activity("op", clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(150):
            activity.used("last_good", "failure_retryable")
            clock.at += 1
        clock.at += INTERVAL
        activity.succeeded()
    assert [event.count for event in seen if isinstance(event, FallbackUsed)] == [1, 60, 60]
    assert seen[-1] == FallbackEnded("op", 149.0, 150)
    assert len(caplog.records) == 4
    assert activity.total == 150


def test_results_between_fallbacks_end_nothing(clock: HeldClock, seen: list[Any]) -> None:
    """Half the calls fail: that is one degradation, not a hundred."""
    activity = Activity("op", clock)
    for _ in range(100):
        activity.used("default_value", "failure_fatal")
        clock.at += 0.1
        activity.succeeded()
    assert seen == [FallbackUsed("op", "default_value", "failure_fatal", 1)]
    assert activity.active


def test_the_next_degradation_begins_anew(clock: HeldClock, seen: list[Any]) -> None:
    """Said at once again; its end counts its own values."""
    activity = Activity("op", clock)
    for _ in range(2):
        activity.used("default_value", "failure_fatal")
        clock.at += INTERVAL
        activity.succeeded()
        activity.succeeded()
    assert [type(event) for event in seen] == [FallbackUsed, FallbackEnded] * 2
    assert (seen[3].count, activity.total) == (1, 2)
