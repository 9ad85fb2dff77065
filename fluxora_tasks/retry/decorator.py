"""retry(): repeat a plain or async function in this process, by the same decision as tasks."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar, cast

from fluxora_tasks.classification import Outcome, classify, retry_after_of
from fluxora_tasks.errors import NonRetryableError
from fluxora_tasks.retry.backoff import Jitter
from fluxora_tasks.retry.decision import Failure, GiveUp, RetryIn, decide
from fluxora_tasks.retry.policy import ErrorTypes, RetryPolicy, error_types

F = TypeVar("F", bound=Callable[..., Any])


def retry(
    max_attempts: int = 3,
    retry_exceptions: type[BaseException] | Sequence[type[BaseException]] = Exception,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    backoff_factor: float = 2.0,
    jitter: bool | Jitter = True,
    *,
    max_elapsed: float | None = None,
    random: Random | None = None,
    sleep: Callable[[float], Any] | None = None,
) -> Callable[[F], F]:
    """
    Decorator: run the function again when it raises one of the given exceptions.

    Works on plain and on async functions. ``NonRetryableError`` is never retried. The exception of the last
    attempt is raised as it is.

    Args:
        max_attempts: Runs, the first included; from 1.
        retry_exceptions: A type, a tuple or a list of types.
        base_delay: Seconds; ceiling of the first delay.
        max_delay: Seconds; no delay is longer.
        backoff_factor: Growth of the ceiling per attempt.
        jitter: As in RetryPolicy.
        max_elapsed: Seconds after which no further attempt is started.
        random: Source of jitter; a fresh one by default.
        sleep: How to wait (an async callable for async functions); ``time.sleep`` or ``asyncio.sleep`` by default.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    wanted = error_types("retry_exceptions", retry_exceptions)
    policy = RetryPolicy(
        max_attempts=max_attempts,
        base_delay=base_delay,
        max_delay=max_delay,
        backoff_factor=backoff_factor,
        jitter=jitter,
        max_elapsed=max_elapsed,
    )
    source = random or Random()  # noqa: S311 - jitter, not a secret

    def decorate(function: F) -> F:
        loop = _async_loop if inspect.iscoroutinefunction(function) else _sync_loop
        return cast(F, loop(function, _Attempts(policy, wanted, source), sleep))

    return decorate


class _Attempts:
    """The decision for one decorated function; holds no state between calls."""

    def __init__(self, policy: RetryPolicy, wanted: ErrorTypes, random: Random) -> None:
        self._policy, self._wanted, self._random = policy, wanted, random

    def next_delay(self, error: Exception, attempt: int, started: float, previous: float | None) -> float | None:
        """Seconds to wait, or ``None`` to give up."""
        decision: RetryIn | GiveUp = decide(
            self._policy,
            Failure(
                outcome=self._outcome(error),
                attempt=attempt,
                elapsed=time.monotonic() - started,
                retry_after=retry_after_of(error, datetime.now(UTC)),
                previous_delay=previous,
            ),
            self._random,
        )
        return decision.delay if isinstance(decision, RetryIn) else None

    def _outcome(self, error: Exception) -> Outcome:
        if isinstance(error, NonRetryableError) or not isinstance(error, self._wanted):
            return Outcome.FAILURE_FATAL
        return Outcome.THROTTLED if classify(error) is Outcome.THROTTLED else Outcome.FAILURE_RETRYABLE


def _sync_loop(
    function: Callable[..., Any], attempts: _Attempts, sleep: Callable[[float], Any] | None
) -> Callable[..., Any]:
    wait = sleep or time.sleep

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started, attempt, delay = time.monotonic(), 0, None
        while True:
            attempt += 1
            try:
                return function(*args, **kwargs)
            except Exception as error:
                delay = attempts.next_delay(error, attempt, started, delay)
                if delay is None:
                    raise
            wait(delay)

    return wrapper


def _async_loop(
    function: Callable[..., Any], attempts: _Attempts, sleep: Callable[[float], Any] | None
) -> Callable[..., Any]:
    wait = sleep or asyncio.sleep

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        started, attempt, delay = time.monotonic(), 0, None
        while True:
            attempt += 1
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                delay = attempts.next_delay(error, attempt, started, delay)
                if delay is None:
                    raise
            await wait(delay)

    return wrapper
