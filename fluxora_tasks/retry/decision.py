"""decide(): what to do after one failed attempt (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from fluxora_tasks.classification import REPEATABLE, Outcome
from fluxora_tasks.classification.causes import causes_of, leaves_of
from fluxora_tasks.errors import NonRetryableError
from fluxora_tasks.retry.checks import ErrorTypes

if TYPE_CHECKING:  # a policy can run things, which is decided here
    from fluxora_tasks.retry.policy import RetryPolicy

#: Named in ``retry_on``, these do not mean refusals and cancellations.
_ANYTHING = (BaseException, Exception)


class GiveUpReason(StrEnum):
    """Why no further attempt is made."""

    NON_RETRYABLE = "non_retryable"
    ATTEMPTS = "attempts"
    DEADLINE = "deadline"
    RETRY_AFTER = "retry_after"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Failure:
    """The facts of one failed attempt.

    Attributes:
        outcome: Its class.
        attempt: Which attempt it was, from 1.
        elapsed: Seconds since the first attempt began.
        retry_after: Seconds the other side asked for, or ``None``.
        previous_delay: Seconds waited before this attempt, where known.
        refused: It was declined by an open circuit, not made; then it uses up no attempt.
    """

    outcome: Outcome
    attempt: int
    elapsed: float = 0.0
    retry_after: float | None = None
    previous_delay: float | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after ``delay`` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no further attempt, for this reason."""

    reason: GiveUpReason


def outcome_under(policy: RetryPolicy, error: BaseException, classified: Outcome) -> Outcome:
    """
    The class of an error under a policy: ``give_up_on`` first, then ``retry_on`` and rules, then the classifier.

    ``NonRetryableError`` is never retried. What is IGNORED (a refusal, a cancellation) is only where it is named, not
    where ``Exception`` is.
    """
    give_up_on: ErrorTypes = policy.give_up_on  # type: ignore[assignment]  # a tuple after __post_init__
    if isinstance(error, NonRetryableError) or (give_up_on and _is_or_holds(error, give_up_on)):
        return Outcome.FAILURE_FATAL
    if classified in REPEATABLE:
        return classified
    wanted = _wanted(policy, classified)
    return Outcome.FAILURE_RETRYABLE if wanted and _is_wholly(error, wanted) else classified


def _wanted(policy: RetryPolicy, classified: Outcome) -> ErrorTypes:
    named: ErrorTypes = (*policy.retry_on, *(cls for rule in policy.rules for cls in rule.on))  # type: ignore[misc, union-attr]
    if classified is Outcome.IGNORED:
        return tuple(cls for cls in named if cls not in _ANYTHING)
    return named


def _is_or_holds(error: BaseException, types: ErrorTypes) -> bool:
    return any(isinstance(leaf, types) for cause in causes_of(error) for leaf in (cause, *leaves_of(cause)))


def _is_wholly(error: BaseException, types: ErrorTypes) -> bool:
    return any(
        isinstance(cause, types) or all(isinstance(leaf, types) for leaf in leaves_of(cause))
        for cause in causes_of(error)
    )


def decide(policy: RetryPolicy, failure: Failure, random: Random) -> RetryIn | GiveUp:
    """
    Retry after a delay, or give up.

    A wait the other side asked for is a floor under the backoff, spread by up to a tenth of it (1 s at most);
    one that exceeds ``max_delay`` or ends after the deadline gives up now, since coming back earlier would be refused
    for certain. A deadline is kept by stopping, never by a shortened delay.
    """
    if failure.outcome not in REPEATABLE:
        return GiveUp(GiveUpReason.NON_RETRYABLE)
    if policy.max_attempts is not None and failure.attempt >= policy.max_attempts and not failure.refused:
        return GiveUp(GiveUpReason.ATTEMPTS)
    delay = policy.delay_after(max(1, failure.attempt), random, failure.previous_delay)
    left = float("inf") if policy.max_elapsed is None else policy.max_elapsed - failure.elapsed
    if failure.retry_after is not None:
        if failure.retry_after > policy.max_delay or failure.retry_after >= left:
            return GiveUp(GiveUpReason.RETRY_AFTER)
        delay = max(delay, failure.retry_after + random.uniform(0, min(1.0, 0.1 * failure.retry_after)))
    return RetryIn(delay) if delay < left else GiveUp(GiveUpReason.DEADLINE)
