"""The examples this library has to run as they are, but for the import line."""

from __future__ import annotations

from typing import Any

import pytest

from fluxora_tasks import (
    CachedDataFallback,
    ChainedFallback,
    DefaultValueFallback,
    FallbackStrategy,
    with_fallback,
)


def test_the_weather_example() -> None:
    """A chain of a cache and a default, over a call that fails."""

    def get_cached_weather() -> dict[str, Any]:
        return {"temperature": 20, "conditions": "sunny", "is_cached": True}

    cached_weather_fallback = CachedDataFallback(get_cached_weather)
    default_weather_fallback = DefaultValueFallback({"temperature": 0, "conditions": "unknown", "is_default": True})
    weather_fallback = ChainedFallback([cached_weather_fallback, default_weather_fallback])

    @with_fallback(weather_fallback)
    def get_weather(location: str) -> dict[str, Any]:
        raise Exception(f"Failed to get weather: {location}")

    assert get_weather("New York") == {"temperature": 20, "conditions": "sunny", "is_cached": True}


def test_a_subclass_overrides_execute_and_nothing_else() -> None:
    """Whatever other attributes it has."""

    class Doubled(FallbackStrategy):
        def __init__(self) -> None:
            self.answer, self.source, self.at_once = 42, None, "soon"

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            return args[0] * 2 + kwargs.get("more", 0)

    @with_fallback(fallback_strategy=Doubled())
    def fails(number: int, more: int = 0) -> int:
        raise RuntimeError

    assert fails(4, more=1) == 9
    assert ChainedFallback([Doubled()]).execute(3) == 6


def test_strategies_alone() -> None:
    """Each executes without a guarded call around it."""
    assert DefaultValueFallback(7).execute(1, x=2) == 7
    assert CachedDataFallback(lambda: "cached").execute("ignored") == "cached"
    with pytest.raises(NotImplementedError, match="must implement execute"):
        FallbackStrategy().execute()


def test_a_chain_alone() -> None:
    """The first that has a value; the error of the last; an error of its own if it is empty."""

    class Fails(FallbackStrategy):
        def __init__(self, error: Exception) -> None:
            self.error = error

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            raise self.error

    assert ChainedFallback([Fails(KeyError()), DefaultValueFallback(1)]).execute() == 1
    with pytest.raises(ValueError, match="second"):
        ChainedFallback([Fails(KeyError()), Fails(ValueError("second"))]).execute()
    with pytest.raises(Exception, match="All fallback strategies failed"):
        ChainedFallback([]).execute()


def test_the_function_keeps_its_name_and_its_result() -> None:
    """A call that succeeds knows nothing of the fallback."""

    @with_fallback(DefaultValueFallback(None))
    def adds(a: int, b: int = 1) -> int:
        """Sum."""
        return a + b

    assert (adds(1, b=2), adds.__name__, adds.__doc__) == (3, "adds", "Sum.")
