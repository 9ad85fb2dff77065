"""with_fallback(): guard a plain or async function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from fluxora_tasks.classification import Outcome, classify
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.fallback.outcome import activations, forget_outcome
from fluxora_tasks.fallback.runner import Fallback
from fluxora_tasks.fallback.step import Step
from fluxora_tasks.fallback.strategies import FallbackStrategy
from fluxora_tasks.fallback.toggles import Mode

F = TypeVar("F", bound=Callable[..., Any])


def with_fallback(
    fallback_strategy: FallbackStrategy | Step,
    *,
    operation: str | None = None,
    classifier: Callable[[BaseException], Outcome] = classify,
) -> Callable[[F], F]:
    """
    Decorator: where the function raises, the strategy's value is returned instead.

    Works on plain and on async functions. An error that says the call itself was wrong (``BAD_REQUEST``) or that
    nothing failed (``IGNORED``) is raised as it is, and so is every error where no step of the strategy has a value,
    with notes about the steps. ``fallback.last_outcome()`` tells where the value came from. Put it outermost:
    ``with_fallback(...)`` over ``retry(...)`` over a circuit breaker.

    Args:
        fallback_strategy: What gives the value.
        operation: Name for operators, events and last good values; by default module and name of the function.
        classifier: Tells what a failure means.

    Raises:
        ConfigurationError: it is no strategy, or an async one for a plain function.
    """

    def decorate(function: F) -> F:
        name = operation or f"{function.__module__}.{function.__qualname__}"
        fallback = Fallback(name, fallback_strategy, classifier)
        if inspect.iscoroutinefunction(function):
            return cast(F, _async_guard(function, fallback))
        if any(step.is_async for step in fallback.steps):
            raise ConfigurationError(f"{name} is not async, but a step of its fallback is")
        return cast(F, _sync_guard(function, fallback))

    return decorate


def _sync_guard(function: Callable[..., Any], fallback: Fallback) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        mode = fallback.mode(args, kwargs)
        if mode is Mode.ALWAYS:
            return fallback.run(None, args, kwargs).value
        before = activations()
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            forget_outcome()
            if mode is Mode.OFF or not fallback.applies_to(error):
                raise
            return fallback.run(error, args, kwargs).value
        fallback.succeeded(value, args, kwargs, before)
        return value

    wrapper.fallback = fallback  # type: ignore[attr-defined]  # for whoever looks
    return wrapper


def _async_guard(function: Callable[..., Any], fallback: Fallback) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        mode = fallback.mode(args, kwargs)
        if mode is Mode.ALWAYS:
            return (await fallback.run_async(None, args, kwargs)).value
        before = activations()
        try:
            value = await function(*args, **kwargs)
        except Exception as error:
            forget_outcome()
            if mode is Mode.OFF or not fallback.applies_to(error):
                raise
            return (await fallback.run_async(error, args, kwargs)).value
        fallback.succeeded(value, args, kwargs, before)
        return value

    wrapper.fallback = fallback  # type: ignore[attr-defined]  # for whoever looks
    return wrapper
