"""When to try again: the policy, its curve, the decision, and the means to repeat something in this process."""

from fluxora_tasks.classification import Classifier, Outcome, classify
from fluxora_tasks.retry.allowance import RetryBudget
from fluxora_tasks.retry.attempts import Attempt, Attempts
from fluxora_tasks.retry.budget import Budget
from fluxora_tasks.retry.decision import Failure, GiveUp, GiveUpReason, RetryIn, decide
from fluxora_tasks.retry.decorator import retry
from fluxora_tasks.retry.policy import RetryPolicy
from fluxora_tasks.retry.reason import give_up_reason
from fluxora_tasks.retry.rules import RetryRule
from fluxora_tasks.retry.running import Retrying

__all__ = [
    "Attempt",
    "Attempts",
    "Budget",
    "Classifier",
    "Failure",
    "GiveUp",
    "GiveUpReason",
    "Outcome",
    "RetryBudget",
    "RetryIn",
    "RetryPolicy",
    "RetryRule",
    "Retrying",
    "classify",
    "decide",
    "give_up_reason",
    "retry",
]
