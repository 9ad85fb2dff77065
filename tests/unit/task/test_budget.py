"""The retry budget of a task."""

from __future__ import annotations

import pytest
from celery import Celery

from fluxora_tasks import RetryPolicy, install
from fluxora_tasks.classification import Outcome
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.retry.budget import TokenBucket
from fluxora_tasks.task.budget import affords, began, ended_well, task_budget
from fluxora_tasks.task.outcome import read_mark


class Counting(TokenBucket):
    """Remembers what it is told."""

    counting = True

    def __init__(self, capacity: float = 10.0) -> None:
        super().__init__(capacity)
        self.firsts = 0

    def first(self) -> None:
        self.firsts += 1


@pytest.mark.parametrize("policy", [None, RetryPolicy(), RetryPolicy(budget=False)])
def test_a_task_has_no_budget_unless_its_policy_names_one(policy: RetryPolicy | None) -> None:
    """Then every retry is affordable."""
    budget = task_budget(policy, "t")
    assert budget is None
    assert affords(budget, ConnectionError(), Outcome.FAILURE_RETRYABLE)


def test_true_is_a_budget_of_the_tasks_own() -> None:
    """The same each time it is asked for, and not another task's."""
    policy = RetryPolicy(budget=True)
    assert task_budget(policy, "a") is task_budget(policy, "a")
    assert task_budget(policy, "a") is not task_budget(policy, "b")


def test_retries_take_and_successes_give_back() -> None:
    """A timeout costs twice as much; a success after a retry gives back what a retry took, another one a little."""
    budget = Counting(20.0)
    assert affords(budget, TimeoutError(), Outcome.FAILURE_RETRYABLE)
    assert affords(budget, ConnectionResetError(), Outcome.FAILURE_RETRYABLE)
    assert not affords(budget, TimeoutError(), Outcome.FAILURE_RETRYABLE)
    assert budget.tokens == 5.0
    ended_well(budget, retries=1)
    ended_well(budget, retries=0)
    assert budget.tokens == 11.0
    for retries in (0, 1, 0):
        began(budget, retries)
    assert budget.firsts == 2, "a retry is no first attempt"


def test_a_spent_budget_ends_the_retries() -> None:
    """Two retries are allowed, the third is not made; the failure says why."""
    app = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app)
    budget, runs = Counting(10.0), []

    @app.task(shared=False, retry_policy=RetryPolicy(max_attempts=9, base_delay=0, budget=budget))
    def failing() -> None:
        runs.append(1)
        raise ConnectionResetError

    mark = read_mark(failing.apply().result)
    assert len(runs) == 3
    assert mark is not None
    assert mark[0] is Kind.RETRY_BUDGET
    assert budget.firsts == 1
