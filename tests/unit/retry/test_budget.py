"""Budgets: an allowance of retries in one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from fluxora_tasks import RetryableError, RetryPolicy
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry import GiveUpReason, Outcome, give_up_reason, retry
from fluxora_tasks.retry.budget import UNLIMITED, TokenBucket, budget_of, cost_of, local_budget


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    local_budget.cache_clear()
    yield
    local_budget.cache_clear()


class ReadTimeout(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "outcome", "cost"),
    [
        (ConnectionError(), Outcome.FAILURE_RETRYABLE, 5),
        (TimeoutError(), Outcome.FAILURE_RETRYABLE, 10),
        (ReadTimeout(), Outcome.FAILURE_RETRYABLE, 10),  # of a library, by the name of its type
        (TimeoutError(), Outcome.THROTTLED, 5),
    ],
)
def test_costs(error: Exception, outcome: Outcome, cost: float) -> None:
    """A timeout costs twice what another failure does."""
    assert cost_of(error, outcome) == cost


def test_a_bucket_ends_and_fills_again() -> None:
    """A hundred failures in a row; then only successes make room, and never more than it holds."""
    bucket = TokenBucket()
    assert all(bucket.withdraw() for _ in range(100))
    assert not bucket.withdraw(1)
    bucket.deposit(5)
    assert bucket.withdraw()
    assert not bucket.full
    bucket.deposit(10_000)
    assert (bucket.tokens, bucket.full) == (500, True)


def test_threads_lose_no_token() -> None:
    """Eight threads take and give at once, and the sum is right."""
    bucket = TokenBucket(100_000)

    def work() -> None:
        for _ in range(2000):
            bucket.withdraw(3)
            bucket.deposit(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.tokens == 100_000 - 8 * 2000 * 2


def test_a_child_forked_while_it_is_held_can_use_it() -> None:
    """The lock of the parent does not reach the child."""
    from fluxora_tasks.retry import budget

    bucket = TokenBucket()
    with budget._lock:
        child = os.fork()
        if child == 0:
            threading.Timer(5, os._exit, (1,)).start()  # held for ever otherwise
            os._exit(0 if bucket.withdraw() else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "many", True])
def test_a_wrong_capacity_is_refused(wrong: object) -> None:
    """A bucket holds a number of tokens."""
    with pytest.raises(ConfigurationError, match="capacity"):
        TokenBucket(wrong)  # type: ignore[arg-type]


def test_whose_budget_it_is() -> None:
    """One per subject by default, the given one where it is given, none where there shall be none."""
    bucket = TokenBucket()
    assert budget_of(bucket, "a") is bucket
    assert budget_of(False, "a") is UNLIMITED
    assert budget_of(None, "a") is budget_of(True, "a")
    assert budget_of(None, "a") is not budget_of(None, "b")
    with pytest.raises(ConfigurationError, match="budget"):
        RetryPolicy(budget=500)  # type: ignore[arg-type]


def failing(budget: TokenBucket, waits: list[float], attempts: int = 3) -> Exception:
    """The error of one call that fails whatever happens."""

    @retry(max_attempts=attempts, budget=budget, sleep=waits.append)
    def call() -> None:
        raise RetryableError("away")

    with pytest.raises(RetryableError) as caught:
        call()
    return caught.value


def test_a_spent_budget_raises_the_error_at_once() -> None:
    """It is asked before the wait; the error tells the reason, and has it as a note."""
    bucket, waits = TokenBucket(10), []
    assert give_up_reason(failing(bucket, waits)) is GiveUpReason.ATTEMPTS
    assert len(waits) == 2
    error = failing(bucket, waits)
    assert give_up_reason(error) is GiveUpReason.BUDGET
    assert "budget" in error.__notes__[0]
    assert len(waits) == 2


def test_a_success_gives_back_what_its_retry_took() -> None:
    """A success without a retry gives one token."""
    bucket, outcomes = TokenBucket(100), [TimeoutError(), ConnectionError(), "done", "done"]

    @retry(max_attempts=3, budget=bucket, sleep=lambda _: None)
    def call() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert call() == "done"
    assert bucket.tokens == 100 - 10  # the connection error's retry succeeded, the timeout's did not
    assert call() == "done"
    assert bucket.tokens == 91


def test_without_another_word_a_function_has_a_budget() -> None:
    """A hundred retries without a success, then every failure is raised as it comes."""
    waits: list[float] = []

    @retry(sleep=waits.append)
    def call() -> None:
        raise RetryableError("away")

    for _ in range(60):
        with pytest.raises(RetryableError):
            call()
    assert len(waits) == 100
