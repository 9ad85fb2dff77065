"""The retry budget of a task: asked before a retry is published, told of successes (pure)."""

from __future__ import annotations

from fluxora_tasks.classification import Outcome
from fluxora_tasks.retry.budget import FAILURE_COST, SUCCESS_GIVES, Budget, budget_of, cost_of
from fluxora_tasks.retry.policy import RetryPolicy


def task_budget(policy: RetryPolicy | None, task: str) -> Budget | None:
    """The budget a task's retries come from; ``None`` where its policy names none."""
    if policy is None or policy.budget is None or policy.budget is False:
        return None
    return budget_of(policy.budget, task)


def began(budget: Budget, retries: int) -> None:
    """A run begins."""
    if budget.counting and retries == 0:
        budget.first()


def ended_well(budget: Budget, retries: int) -> None:
    """A run gave a result: what its retry took comes back, or a little for a first attempt."""
    if not budget.full:
        budget.deposit(FAILURE_COST if retries else SUCCESS_GIVES)


def affords(budget: Budget | None, error: BaseException, outcome: Outcome) -> bool:
    """Whether one more retry may be made; takes it from the budget if so."""
    return budget is None or budget.withdraw(cost_of(error, outcome))
