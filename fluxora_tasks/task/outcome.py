"""What to do with the end of one attempt, and what the worker's main process is told about it.

The pool child decides, the main process captures. The verdict travels on the exception itself, because that is
the one object Celery hands from the child to the parent; where it does not survive pickling, the parent decides
again from the exception and the attempt number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fluxora_tasks.classification import Outcome, retry_after_of
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.identity import FIRST_ATTEMPT_AT
from fluxora_tasks.retry.decision import Failure, GiveUp, GiveUpReason, RetryIn, decide
from fluxora_tasks.retry.policy import RetryPolicy, seeded

#: Attribute of an exception that carries the verdict of the child.
VERDICT: Final = "_fx_verdict"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a task's body.

    Attributes:
        task_id: Seeds the jitter, so that a schedule can be reproduced.
        number: From 1.
        first_at: When the first attempt failed or, on the first one, now.
        explicit: Whether the exception is one the task handles with Celery's own options (``autoretry_for``).
    """

    task_id: str
    number: int
    first_at: datetime
    explicit: bool = False


def attempt_of(task_id: str, retries: int, headers: Mapping[str, Any], now: datetime, explicit: bool) -> Attempt:
    """The attempt a request describes; a first-attempt time that cannot be read counts as now."""
    try:
        first_at = datetime.fromisoformat(headers[FIRST_ATTEMPT_AT])
        first_at = first_at if first_at.tzinfo else now
    except (KeyError, TypeError, ValueError):
        first_at = now
    return Attempt(task_id, retries + 1, first_at, explicit)


def conclude(
    policy: RetryPolicy, error: BaseException, outcome: Outcome, attempt: Attempt, now: datetime
) -> RetryIn | GiveUp:
    """
    Retry or give up. What Celery's own options retried has had its attempts when it gets here.

    Args:
        outcome: Class of the error under the policy, see ``retry.decision.outcome_under``.
    """
    own = policy.under(error)
    if attempt.explicit or had_its_retries(own, attempt.number):
        return GiveUp(GiveUpReason.ATTEMPTS)
    failure = Failure(
        outcome=outcome,
        attempt=attempt.number,
        elapsed=max(0.0, (now - attempt.first_at).total_seconds()),
        retry_after=retry_after_of(error, now),
        previous_delay=own.delay_before(attempt.task_id, attempt.number),
    )
    return decide(own, failure, seeded(attempt.task_id, attempt.number))


def had_its_retries(policy: RetryPolicy, attempt: int) -> bool:
    """Whether this is the last attempt of several: then it was retried, whoever decided that."""
    return policy.max_attempts is not None and 1 < policy.max_attempts <= attempt


def kind_of(verdict: GiveUp, error: BaseException, refused_by_name: bool) -> Kind:
    """The kind of dead letter a verdict makes.

    Args:
        refused_by_name: The error is one that somebody declared as never retryable.
    """
    if refused_by_name:
        return Kind.NON_RETRYABLE
    match verdict.reason:
        case GiveUpReason.ATTEMPTS:
            return Kind.RETRIES_EXHAUSTED
        case GiveUpReason.DEADLINE | GiveUpReason.RETRY_AFTER:
            return Kind.DEADLINE
        case GiveUpReason.BUDGET:
            return Kind.RETRY_BUDGET
        case GiveUpReason.NON_RETRYABLE:
            return Kind.EXCEPTION


def mark(error: BaseException, kind: Kind, first_at: datetime) -> None:
    """Leave the verdict on the exception for the main process; one that takes no attributes stays bare."""
    with contextlib.suppress(Exception):  # the parent decides again
        setattr(error, VERDICT, (str(kind), first_at.isoformat()))


def read_mark(error: BaseException) -> tuple[Kind, datetime] | None:
    """The verdict left on an exception, if it is there and readable."""
    try:
        kind, first_at = getattr(error, VERDICT)
        return Kind(kind), datetime.fromisoformat(first_at)
    except Exception:  # noqa: BLE001 - anything may hang on a foreign exception
        return None
