"""One call and its attempts, as far as deciding goes; waiting and calling is done by whoever asks."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

from fluxora_tasks.classification import Classifier, Outcome, classify, qualified_name, retry_after_of
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.events import RetryGivenUp, RetryScheduled, emit
from fluxora_tasks.retry.budget import SUCCESS_GIVES, Budget, cost_of
from fluxora_tasks.retry.checks import ErrorTypes
from fluxora_tasks.retry.decision import Failure, GiveUp, GiveUpReason, RetryIn, decide, outcome_under
from fluxora_tasks.retry.reason import leave_reason

if TYPE_CHECKING:  # a policy can run things, by this
    from fluxora_tasks.retry.policy import RetryPolicy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """By what the attempts of one function are decided.

    Attributes:
        subject: What is attempted, for events.
        only: Types outside of which nothing is retried; ``None``: the classifier says what is.
        random: Source of jitter.
    """

    policy: RetryPolicy
    subject: str
    budget: Budget
    random: Random
    classifier: Classifier = classify
    only: ErrorTypes | None = None

    def outcome(self, error: Exception) -> Outcome:
        """The class of an error under this plan."""
        if self.only is not None and not isinstance(error, self.only):
            return Outcome.FAILURE_FATAL
        return outcome_under(self.policy, error, self.classifier(error))

    def succeeded(self, course: Course | None) -> None:
        """Give the budget back what the last retry took, or a little for a call that needed none."""
        self.budget.deposit(course.taken if course is not None and course.taken else SUCCESS_GIVES)


class Course:
    """
    What one call has behind it; made when its first attempt failed.

    Args:
        started: Monotonic time when the first attempt began.
    """

    __slots__ = ("_plan", "_started", "attempt", "delay", "taken")

    def __init__(self, plan: Plan, started: float) -> None:
        self._plan, self._started = plan, started
        self.attempt = 0
        self.delay: float | None = None
        self.taken = 0.0

    def failed(self, error: Exception) -> float | None:
        """Seconds to wait before the next attempt, or ``None`` to raise the error."""
        decision = self._decide(error)
        if isinstance(decision, RetryIn):
            self.delay = decision.delay
            _tell(RetryScheduled(self._plan.subject, self.attempt, decision.delay, qualified_name(type(error))))
            return decision.delay
        if self.attempt:  # what was refused from the start is nothing that was given up
            leave_reason(error, decision.reason)
            _tell(RetryGivenUp(self._plan.subject, self.attempt, decision.reason, qualified_name(type(error))))
        return None

    def _decide(self, error: Exception) -> RetryIn | GiveUp:
        plan = self._plan
        refused = isinstance(error, CircuitBreakerError)
        self.attempt += not refused
        outcome = plan.outcome(error)
        decision = decide(plan.policy.under(error), self._failure(error, outcome, refused), plan.random)
        if isinstance(decision, GiveUp) or refused or self._afford(cost_of(error, outcome)):
            return decision
        return GiveUp(GiveUpReason.BUDGET)

    def _failure(self, error: Exception, outcome: Outcome, refused: bool) -> Failure:
        elapsed, hint = time.monotonic() - self._started, retry_after_of(error, datetime.now(UTC))
        return Failure(outcome, self.attempt, elapsed, hint, self.delay, refused)

    def _afford(self, cost: float) -> bool:
        self.taken = cost if self._plan.budget.withdraw(cost) else 0.0
        return bool(self.taken)


def _tell(event: RetryScheduled | RetryGivenUp) -> None:
    """To listeners, and to whoever reads the log at INFO."""
    emit(event)
    logger.info("%s", event)
