"""When to try again: the policy, its curve, and the decision."""

from fluxora_tasks.classification import Classifier, Outcome, classify
from fluxora_tasks.retry.decision import Failure, GiveUp, GiveUpReason, RetryIn, decide
from fluxora_tasks.retry.decorator import retry
from fluxora_tasks.retry.policy import RetryPolicy

__all__ = [
    "Classifier",
    "Failure",
    "GiveUp",
    "GiveUpReason",
    "Outcome",
    "RetryIn",
    "RetryPolicy",
    "classify",
    "decide",
    "retry",
]
