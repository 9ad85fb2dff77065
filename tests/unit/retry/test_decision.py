"""decide(): retry or give up."""

from __future__ import annotations

from random import Random

import pytest

from fluxora_tasks import NonRetryableError, RetryPolicy
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.retry import Failure, GiveUp, GiveUpReason, Outcome, RetryIn, decide
from fluxora_tasks.retry.decision import outcome_under

TRANSIENT = Outcome.FAILURE_RETRYABLE


def policy(**options: object) -> RetryPolicy:
    return RetryPolicy(**{"base_delay": 2.0, "jitter": False, "max_attempts": 4, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure(TRANSIENT, 1), RetryIn(2.0)),
        (Failure(TRANSIENT, 3), RetryIn(8.0)),
        (Failure(TRANSIENT, 4), GiveUp(GiveUpReason.ATTEMPTS)),
        (Failure(TRANSIENT, 400), GiveUp(GiveUpReason.ATTEMPTS)),
        (Failure(Outcome.FAILURE_FATAL, 1), GiveUp(GiveUpReason.NON_RETRYABLE)),
        (Failure(Outcome.BAD_REQUEST, 1), GiveUp(GiveUpReason.NON_RETRYABLE)),
        (Failure(TRANSIENT, 1, retry_after=601.0), GiveUp(GiveUpReason.RETRY_AFTER)),  # above max_delay
        (Failure(TRANSIENT, 1, retry_after=1.0), RetryIn(2.0)),  # below the backoff
    ],
)
def test_decisions(failure: Failure, expected: object) -> None:
    """The table of the annex, section 2.9."""
    assert decide(policy(), failure, Random(1)) == expected


def test_a_wait_that_was_asked_for_is_a_floor() -> None:
    """Never earlier than asked, at most a tenth later."""
    for seed in range(50):
        decision = decide(policy(), Failure(TRANSIENT, 1, retry_after=10.0), Random(seed))
        assert isinstance(decision, RetryIn)
        assert 10.0 <= decision.delay <= 11.0


def test_a_deadline_stops_rather_than_shortens() -> None:
    """An attempt that would start after the deadline is not made."""
    bounded = policy(max_elapsed=10.0)
    assert decide(bounded, Failure(TRANSIENT, 1, elapsed=7.9), Random(1)) == RetryIn(2.0)
    assert decide(bounded, Failure(TRANSIENT, 1, elapsed=8.0), Random(1)) == GiveUp(GiveUpReason.DEADLINE)


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """Coming back earlier than asked would be refused for certain."""
    bounded = policy(max_elapsed=10.0)
    late = Failure(TRANSIENT, 1, elapsed=5.0, retry_after=6.0)
    assert decide(bounded, late, Random(1)) == GiveUp(GiveUpReason.RETRY_AFTER)


def test_a_refusal_uses_up_no_attempt() -> None:
    """Not even the first and only one; the deadline still holds."""
    single = policy(max_attempts=1, max_elapsed=10.0)
    assert decide(single, Failure(TRANSIENT, 0, refused=True), Random(1)) == RetryIn(2.0)
    assert decide(single, Failure(TRANSIENT, 1, refused=True), Random(1)) == RetryIn(2.0)
    assert decide(single, Failure(TRANSIENT, 1, elapsed=9, refused=True), Random(1)) == GiveUp(GiveUpReason.DEADLINE)


def test_without_a_limit_of_attempts_it_goes_on() -> None:
    """``max_attempts=None`` never gives up for attempts."""
    assert isinstance(decide(policy(max_attempts=None), Failure(TRANSIENT, 10_000), Random(1)), RetryIn)


def test_lists_of_the_policy() -> None:
    """``give_up_on`` wins over ``retry_on``, which wins over the classifier."""
    mine = policy(retry_on=(ValueError,), give_up_on=(UnicodeError,))
    assert outcome_under(mine, ValueError(), Outcome.FAILURE_FATAL) is TRANSIENT
    assert outcome_under(mine, UnicodeError(), TRANSIENT) is Outcome.FAILURE_FATAL
    assert outcome_under(mine, KeyError(), Outcome.THROTTLED) is Outcome.THROTTLED
    assert outcome_under(mine, NonRetryableError(), Outcome.FAILURE_FATAL) is Outcome.FAILURE_FATAL


def caused_by(cause: Exception) -> Exception:
    error = RuntimeError()
    error.__cause__ = cause
    return error


FATAL = Outcome.FAILURE_FATAL


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (caused_by(ValueError()), TRANSIENT),  # raised from what is listed
        (caused_by(UnicodeError()), FATAL),
        (ExceptionGroup("all listed", [ValueError(), ValueError()]), TRANSIENT),
        (ExceptionGroup("not all", [ValueError(), KeyError()]), FATAL),
        (ExceptionGroup("one that never is", [ValueError(), UnicodeError()]), FATAL),
    ],
)
def test_lists_look_at_causes_and_groups(error: Exception, outcome: Outcome) -> None:
    """Of a group each error must be worth another attempt, and none may be one that never is."""
    mine = policy(retry_on=(ValueError,), give_up_on=(UnicodeError,))
    assert outcome_under(mine, error, FATAL) is outcome


def test_never_retryable_holds_whatever_is_listed() -> None:
    """``Exception`` means neither that nor a refusal; a refusal that is named is meant."""
    everything, named = policy(retry_on=Exception), policy(retry_on=CircuitBreakerError)
    assert outcome_under(everything, NonRetryableError(), FATAL) is FATAL
    assert outcome_under(everything, CircuitBreakerError(), Outcome.IGNORED) is Outcome.IGNORED
    assert outcome_under(named, CircuitBreakerError(), Outcome.IGNORED) is TRANSIENT
