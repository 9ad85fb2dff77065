"""Retrying: a policy put to work in this process, on functions, calls and blocks of code, sync and async."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from fluxora_tasks.classification import Classifier, classify
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.attempts import Attempts
from fluxora_tasks.retry.budget import Budget, budget_of
from fluxora_tasks.retry.checks import ErrorTypes
from fluxora_tasks.retry.course import Course, Plan
from fluxora_tasks.retry.permits import Circuit, guarded, guarded_async

if TYPE_CHECKING:  # a policy can run things, by this
    from fluxora_tasks.retry.policy import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")

#: Needs no seed, so that forked children do not wait alike.
CHANCE: Final = SystemRandom()


class Retrying:
    """What ``retry(...)`` returns: a decorator for plain and async functions, with the other forms beside it.

    Args:
        policy: How often and how long.
        only: Types outside of which nothing is retried; ``None``: the classifier says what is.
        circuit: Gives the circuit each attempt needs a permit of; ``None``: none does.
        classifier: What errors mean.
        random: Source of jitter.
        sleep: How to wait (an async callable in async code); ``time.sleep`` or ``asyncio.sleep`` by default.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        only: ErrorTypes | None = None,
        circuit: Callable[[], Circuit] | None = None,
        classifier: Classifier = classify,
        random: Random = CHANCE,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        self._policy, self._only, self._circuit = policy, only, circuit
        self._classifier, self._random, self._sleep = classifier, random, sleep

    def __call__(self, function: F) -> F:
        """
        The function, tried again when it fails.

        Raises:
            ConfigurationError: it is a generator function, whose call does not run it.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(f"retry takes plain and async functions; {function!r} is a generator function")
        plan = self._plan(_subject(function))
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            inner = guarded_async(function, self._circuit) if self._circuit else function
            return cast(F, functools.wraps(function)(_async_loop(inner, plan, self._sleep)))
        inner = guarded(function, self._circuit) if self._circuit else function
        return cast(F, functools.wraps(function)(_sync_loop(inner, plan, self._sleep)))

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function."""
        inner = guarded(function, self._circuit) if self._circuit else function
        return cast(T, _sync_loop(inner, self._plan(_subject(function)), self._sleep)(*args, **kwargs))

    async def acall(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an async function."""
        inner = guarded_async(function, self._circuit) if self._circuit else function
        return cast(T, await _async_loop(inner, self._plan(_subject(function)), self._sleep)(*args, **kwargs))

    def attempts(self, name: str = "") -> Attempts:
        """
        The attempts of a block of code, for a loop: ``for attempt in ...: with attempt: ...``.

        In async code ``async for``, the ``with`` as it is.

        Args:
            name: What is attempted; for events, and for a budget of its own.
        """
        return Attempts(self._plan(name), self._circuit, self._sleep)

    def _plan(self, subject: str) -> Plan:
        budget: Budget = budget_of(self._policy.budget, subject or self._policy)
        return Plan(self._policy, subject, budget, self._random, self._classifier, self._only)


def _subject(function: Callable[..., Any]) -> str:
    """The name of a function, for people."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or ''}.{name}".lstrip(".")


def _sync_loop(function: Callable[..., Any], plan: Plan, sleep: Callable[[float], Any] | None) -> Callable[..., Any]:
    wait, budget, monotonic = sleep or time.sleep, plan.budget, time.monotonic
    counting = budget.counting

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started, course = monotonic(), None
        if counting:
            budget.first()
        while True:
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                course = course or Course(plan, started)
                delay = course.failed(error)
                if delay is None:
                    raise
            else:
                if not budget.full:
                    plan.succeeded(course)
                return result
            wait(delay)

    return wrapper


def _async_loop(
    function: Callable[..., Awaitable[Any]], plan: Plan, sleep: Callable[[float], Any] | None
) -> Callable[..., Awaitable[Any]]:
    wait, budget, monotonic = sleep or asyncio.sleep, plan.budget, time.monotonic
    counting = budget.counting

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        started, course = monotonic(), None
        if counting:
            budget.first()
        while True:
            try:
                result = await function(*args, **kwargs)
            except Exception as error:
                course = course or Course(plan, started)
                delay = course.failed(error)
                if delay is None:
                    raise
            else:
                if not budget.full:
                    plan.succeeded(course)
                return result
            await wait(delay)

    return wrapper
