"""Strategies that need nothing but the call: a value, a function, an error; the base classes of all others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fluxora_tasks.errors import NoFallbackValue
from fluxora_tasks.fallback.call import Answer, Call


class FallbackStrategy:
    """Gives a value where a call has none. A subclass of one's own overrides ``execute``, and that is all.

    ``execute`` may be a coroutine function where the guarded function is one.
    """

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The value for a call with these arguments; raises where there is none."""
        raise NotImplementedError("Fallback strategy must implement execute method")


class InformedStrategy(FallbackStrategy):
    """A strategy that is told more than the arguments.

    Attributes:
        source: What an outcome calls it.
        learns: Whether ``succeeded`` is called.
    """

    source = ""
    learns = False

    @property
    def inner(self) -> Callable[..., Any]:
        """The function that does the work."""
        return self.execute

    def at_once(self, call: Call) -> Answer | None:
        """The answer if it takes no time, else ``None``: then ``answer`` is asked, under the limits of the step."""
        return None

    def answer(self, call: Call) -> Answer:
        """The answer to a call; raises where there is none."""
        return Answer(self.execute(*call.args, **call.kwargs), self.source or type(self).__name__)

    def succeeded(self, operation: str, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The guarded call gave a result of its own. Neither raises nor waits."""


class DefaultValueFallback(InformedStrategy):
    """Always the same value, the same object each time.

    Args:
        default_value: The value.
    """

    source = "default_value"

    def __init__(self, default_value: Any) -> None:
        self.default_value = default_value

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The value, whatever the arguments."""
        return self.default_value

    def at_once(self, call: Call) -> Answer | None:
        """The value."""
        return self.answer(call)


class CachedDataFallback(InformedStrategy):
    """What a cache of the application's own has.

    Args:
        cache_provider: Called without arguments; raises where it has nothing.
    """

    source = "cached_data"

    def __init__(self, cache_provider: Callable[[], Any]) -> None:
        self.cache_provider = cache_provider

    @property
    def inner(self) -> Callable[..., Any]:
        """The provider."""
        return self.cache_provider

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """What the provider returns."""
        return self.cache_provider()


class CallFallback(InformedStrategy):
    """What another function says to the same arguments: a second service, an estimate.

    Args:
        function: Called with the arguments of the guarded call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.source = getattr(function, "__name__", "")

    @property
    def inner(self) -> Callable[..., Any]:
        """The function."""
        return self.function

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        return self.function(*args, **kwargs)


class RaiseFallback(InformedStrategy):
    """The end of a chain: no later step is asked.

    Args:
        error: Raised instead of the call's own error. ``None``: that one is raised.
    """

    source = "raise"

    def __init__(self, error: Exception | type[Exception] | None = None) -> None:
        self.error = error

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Never a value."""
        raise self.error or NoFallbackValue("the chain ends here without a value")

    def at_once(self, call: Call) -> Answer | None:
        """Never an answer."""
        raise Stopped(self.error)


class Stopped(Exception):
    """Nobody's error: ask no later step.

    Args:
        error: What is raised instead of the call's own error, if anything.
    """

    def __init__(self, error: Exception | type[Exception] | None = None) -> None:
        super().__init__(error)
        self.error = error


def asked(strategy: FallbackStrategy, call: Call) -> Answer:
    """What a strategy answers, whether it is informed or one's own."""
    if isinstance(strategy, InformedStrategy):
        return strategy.answer(call)
    return Answer(strategy.execute(*call.args, **call.kwargs), type(strategy).__name__)


def at_once(strategy: FallbackStrategy, call: Call) -> Answer | None:
    """What it answers without taking time; ``None``: it must be asked."""
    return strategy.at_once(call) if isinstance(strategy, InformedStrategy) else None


def is_async(strategy: FallbackStrategy) -> bool:
    """Whether what it executes must be awaited."""
    inner = strategy.inner if isinstance(strategy, InformedStrategy) else strategy.execute
    return inspect.iscoroutinefunction(inner)
