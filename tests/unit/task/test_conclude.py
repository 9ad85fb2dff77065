"""What a task's failure comes to under rules, schedules and budgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fluxora_tasks import RetryPolicy
from fluxora_tasks.classification import classify
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.retry import GiveUp, GiveUpReason, RetryIn, RetryRule
from fluxora_tasks.retry.decision import outcome_under
from fluxora_tasks.task.outcome import Attempt, conclude, kind_of

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def conclusion(policy: RetryPolicy, error: Exception, attempt: int) -> RetryIn | GiveUp:
    outcome = outcome_under(policy, error, classify(error))
    return conclude(policy, error, outcome, Attempt("task-1", attempt, NOW - timedelta(seconds=5)), NOW)


def test_a_rule_holds_for_tasks() -> None:
    """More attempts for one error, fewer for another, the policy's for the rest."""
    policy = RetryPolicy(
        max_attempts=3,
        jitter=False,
        rules=[RetryRule(on=ConnectionError, max_attempts=9, base_delay=7), RetryRule(on=KeyError, max_attempts=1)],
    )
    assert conclusion(policy, ConnectionResetError(), 8) == RetryIn(600.0)
    assert conclusion(policy, ConnectionResetError(), 1) == RetryIn(7.0)
    assert conclusion(policy, ConnectionResetError(), 9) == GiveUp(GiveUpReason.ATTEMPTS)
    assert conclusion(policy, KeyError(), 1) == GiveUp(GiveUpReason.ATTEMPTS)
    assert conclusion(policy, TimeoutError(), 3) == GiveUp(GiveUpReason.ATTEMPTS)


@pytest.mark.parametrize("jitter", ["full", "equal", "decorrelated", 0.3])
def test_a_task_follows_the_schedule_it_was_told(jitter: str | float) -> None:
    """Also where each delay builds on the one before, which the process may not have seen."""
    policy = RetryPolicy(max_attempts=6, jitter=jitter)  # type: ignore[arg-type]
    delays = [conclusion(policy, TimeoutError(), attempt) for attempt in range(1, 6)]
    assert delays == [RetryIn(delay) for delay in policy.preview("task-1")]


def test_a_spent_budget_has_a_kind_of_its_own() -> None:
    """It is neither exhausted nor past a deadline."""
    assert kind_of(GiveUp(GiveUpReason.BUDGET), TimeoutError(), False) is Kind.RETRY_BUDGET
