"""retry(): repeat a plain or async function in this process, by the same decision as tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, TypeVar, overload

from fluxora_tasks.classification import Classifier, classify
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.backoff import Jitter
from fluxora_tasks.retry.budget import Budget
from fluxora_tasks.retry.checks import error_types
from fluxora_tasks.retry.circuits import circuit_of
from fluxora_tasks.retry.policy import RetryPolicy
from fluxora_tasks.retry.rules import RetryRule
from fluxora_tasks.retry.running import CHANCE, Retrying

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS: Final[Mapping[str, Any]] = {
    "max_attempts": 3,
    "retry_exceptions": Exception,
    "base_delay": 1.0,
    "max_delay": 60.0,
    "backoff_factor": 2.0,
    "jitter": True,
    "give_up_on": (),
    "max_elapsed": None,
    "rules": (),
    "budget": None,
}


@overload
def retry(function: F, /) -> F: ...


@overload
def retry(
    max_attempts: int | None = 3,
    retry_exceptions: type[BaseException] | Sequence[type[BaseException]] = Exception,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    backoff_factor: float = 2.0,
    jitter: bool | Jitter | float = True,
    *,
    give_up_on: type[BaseException] | Sequence[type[BaseException]] = (),
    max_elapsed: float | None = None,
    rules: Sequence[RetryRule] = (),
    budget: Budget | bool | None = None,
    policy: RetryPolicy | None = None,
    breaker: Any = None,
    classifier: Classifier = classify,
    random: Random | None = None,
    sleep: Callable[[float], Any] | None = None,
) -> Retrying: ...


def retry(
    max_attempts: int | Callable[..., Any] | None = 3,
    retry_exceptions: type[BaseException] | Sequence[type[BaseException]] = Exception,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    backoff_factor: float = 2.0,
    jitter: bool | Jitter | float = True,
    *,
    give_up_on: type[BaseException] | Sequence[type[BaseException]] = (),
    max_elapsed: float | None = None,
    rules: Sequence[RetryRule] = (),
    budget: Budget | bool | None = None,
    policy: RetryPolicy | None = None,
    breaker: Any = None,
    classifier: Classifier = classify,
    random: Random | None = None,
    sleep: Callable[[float], Any] | None = None,
) -> Any:
    """
    Run a function again when it fails: ``@retry``, or ``@retry(max_attempts=5, ...)``; plain and async functions.

    What is returned has the other forms, too: ``retry(...).call(function, ...)``, ``await retry(...).acall(...)``, and
    for a block of code ``for attempt in retry(...).attempts("name"): with attempt: ...`` (``async for`` in async code).

    ``NonRetryableError`` is never retried. An open circuit is no attempt, and ends it unless ``CircuitBreakerError`` is
    named. The error of the last attempt is raised as it is; ``give_up_reason(error)`` tells why there was no other.

    Args:
        max_attempts: Runs, the first included; from 1. ``None``: no limit.
        retry_exceptions: A type, a tuple or a list of types; nothing else is retried.
        base_delay: Seconds; ceiling of the first delay.
        max_delay: Seconds; no delay is longer.
        backoff_factor: Growth of the ceiling per attempt.
        jitter: As in RetryPolicy.
        give_up_on: As in RetryPolicy. ``max_elapsed``, ``rules`` and ``budget`` likewise.
        policy: A ready policy instead of all the above; then the classifier says what is worth another attempt.
        breaker: A circuit, or the name of one: each attempt is made under a permit of it.
        classifier: What errors mean.
        random: Source of jitter; the system's by default.
        sleep: How to wait (an async callable in async code); ``time.sleep`` or ``asyncio.sleep`` by default.

    Raises:
        ConfigurationError: an argument is out of range, or stands beside a policy.
    """
    if callable(max_attempts):
        return retry()(max_attempts)
    schedule: dict[str, Any] = {
        "max_attempts": max_attempts,
        "base_delay": base_delay,
        "max_delay": max_delay,
        "backoff_factor": backoff_factor,
        "jitter": jitter,
        "give_up_on": give_up_on,
        "max_elapsed": max_elapsed,
        "rules": rules,
        "budget": budget,
    }
    only = error_types("retry_exceptions", retry_exceptions) if policy is None else None
    if policy is not None:
        _check_alone(policy, {**schedule, "retry_exceptions": retry_exceptions})
    return Retrying(
        policy or RetryPolicy(retry_on=only or (), **schedule),
        only=only,
        circuit=circuit_of(breaker),
        classifier=classifier,
        random=random or CHANCE,
        sleep=sleep,
    )


def _check_alone(policy: RetryPolicy, options: Mapping[str, Any]) -> None:
    if not isinstance(policy, RetryPolicy):
        raise ConfigurationError(f"policy takes a RetryPolicy; got {policy!r}")
    beside = sorted(
        name for name, value in options.items() if value is not _DEFAULTS[name] and value != _DEFAULTS[name]
    )
    if beside:
        raise ConfigurationError(f"policy= says all there is to say; leave out {', '.join(beside)}")
