"""decide(): what to do after one failed attempt (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from fluxora_tasks.classification import Outcome
from fluxora_tasks.retry.policy import RetryPolicy

_REPEATABLE = frozenset({Outcome.FAILURE_RETRYABLE, Outcome.THROTTLED})


class GiveUpReason(StrEnum):
    """Why no further attempt is made."""

    NON_RETRYABLE = "non_retryable"
    ATTEMPTS = "attempts"
    DEADLINE = "deadline"
    RETRY_AFTER = "retry_after"


@dataclass(frozen=True, slots=True)
class Failure:
    """The facts of one failed attempt.

    Attributes:
        outcome: Its class.
        attempt: Which attempt it was, from 1.
        elapsed: Seconds since the first attempt began.
        retry_after: Seconds the other side asked for, or ``None``.
        previous_delay: Seconds waited before this attempt, where known.
    """

    outcome: Outcome
    attempt: int
    elapsed: float = 0.0
    retry_after: float | None = None
    previous_delay: float | None = None


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after ``delay`` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no further attempt, for this reason."""

    reason: GiveUpReason


def outcome_under(policy: RetryPolicy, error: BaseException, classified: Outcome) -> Outcome:
    """The class of an error under a policy: ``give_up_on`` first, then ``retry_on``, then the classifier."""
    if isinstance(error, policy.give_up_on):  # type: ignore[arg-type]  # a tuple after __post_init__
        return Outcome.FAILURE_FATAL
    if isinstance(error, policy.retry_on) and classified not in _REPEATABLE:  # type: ignore[arg-type]
        return Outcome.FAILURE_RETRYABLE
    return classified


def decide(policy: RetryPolicy, failure: Failure, random: Random) -> RetryIn | GiveUp:
    """
    Retry after a delay, or give up.

    A wait the other side asked for is a floor under the backoff, spread by up to a tenth of it (1 s at most);
    one that exceeds ``max_delay`` gives up now, since coming back earlier would be refused for certain.
    A deadline is kept by stopping, never by a shortened delay.
    """
    if failure.outcome not in _REPEATABLE:
        return GiveUp(GiveUpReason.NON_RETRYABLE)
    if policy.max_attempts is not None and failure.attempt >= policy.max_attempts:
        return GiveUp(GiveUpReason.ATTEMPTS)
    delay = policy.delay_after(failure.attempt, random, failure.previous_delay)
    if failure.retry_after is not None:
        if failure.retry_after > policy.max_delay:
            return GiveUp(GiveUpReason.RETRY_AFTER)
        delay = max(delay, failure.retry_after + random.uniform(0, min(1.0, 0.1 * failure.retry_after)))
    if policy.max_elapsed is not None and failure.elapsed + delay >= policy.max_elapsed:
        return GiveUp(GiveUpReason.DEADLINE)
    return RetryIn(delay)
