"""LastGoodFallback: what it learns, what it gives, and for how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from fluxora_tasks import ChainedFallback, DefaultValueFallback, LastGoodFallback, with_fallback
from fluxora_tasks.errors import ConfigurationError, NoFallbackValue
from fluxora_tasks.fallback import Step, last_outcome
from fluxora_tasks.fallback.lastgood import LARGEST
from tests.unit.fallback.conftest import HeldClock


class Service:
    """Gives what it is told to, or fails."""

    def __init__(self) -> None:
        self.result: Any = None
        self.fails = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fails:
            raise ConnectionError("down")
        return self.result


@pytest.fixture
def service() -> Service:
    return Service()


def guarded(service: Service, strategy: Any, operation: str = "op") -> Callable[..., Any]:
    return with_fallback(strategy, operation=operation)(lambda *args, **kwargs: service(*args, **kwargs))


def learn(service: Service, call: Callable[..., Any], result: Any, *args: Any, **kwargs: Any) -> None:
    service.fails, service.result = False, result
    assert call(*args, **kwargs) is result
    service.fails = True


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [1.5, None]}, True, "Zoë \ud800"])
def test_the_last_result_is_given(service: Service, clock: HeldClock, value: Any) -> None:
    """With its age; ``None`` is a value."""
    call = guarded(service, LastGoodFallback())
    learn(service, call, value)
    clock.at += 12
    assert call() == value
    outcome = last_outcome()
    assert outcome is not None
    assert (outcome.degraded, outcome.source, outcome.age, outcome.stale) == (True, "last_good", 12.0, False)


def test_each_time_it_is_another_object(service: Service) -> None:
    """Whoever changes it, changes nobody else's."""
    call = guarded(service, LastGoodFallback())
    learn(service, call, [1])
    call().append(2)
    assert call() == [1]


def test_what_changes_after_the_call_was_kept_before(service: Service) -> None:
    """The result as it was when it was returned."""
    call, result = guarded(service, LastGoodFallback()), [1]
    learn(service, call, result)
    result.append(2)
    assert call() == [1]


def test_values_belong_to_their_arguments(service: Service) -> None:
    """Another call's value is none."""
    call = guarded(service, LastGoodFallback())
    learn(service, call, "Oslo's", "Oslo", day=date(2000, 6, 5))
    assert call("Oslo", day=date(2000, 6, 5)) == "Oslo's"
    for args, kwargs in (("Rome", {}), ("Oslo", {"day": date(2000, 6, 6)}), ("Oslo", {"day": "2000-06-05"})):
        with pytest.raises(ConnectionError) as raised:
            call(args, **kwargs)
        assert raised.value.__notes__ == [
            "fallback without a value: last_good: NoFallbackValue: nothing kept of the last 3600 s"
        ]


def test_values_belong_to_their_operation_and_version(service: Service) -> None:
    """Unless the same name is given on purpose."""
    learn(service, guarded(service, LastGoodFallback(), "one"), 1)
    for other in (guarded(service, LastGoodFallback(), "two"), guarded(service, LastGoodFallback(version="2"), "one")):
        with pytest.raises(ConnectionError):
            other()
    learn(service, guarded(service, LastGoodFallback(operation="shared"), "one"), 1)
    assert guarded(service, LastGoodFallback(operation="shared"), "two")() == 1
    assert LastGoodFallback(operation="shared").execute() == 1


def test_a_key_of_ones_own_tells_calls_apart(service: Service) -> None:
    """For arguments that have no JSON form, or that make no difference."""
    call = guarded(service, LastGoodFallback(key=lambda session, place: place))
    learn(service, call, 1, object(), "Oslo")
    assert call(object(), "Oslo") == 1


def test_a_value_ends_with_its_age(service: Service, clock: HeldClock) -> None:
    """First it is stale, then it is none."""
    call = guarded(service, LastGoodFallback(max_age=timedelta(minutes=1), soft_age=30))
    learn(service, call, 1)
    clock.at += 30
    call()
    assert (outcome := last_outcome()) is not None
    assert not outcome.stale
    clock.at += 30
    call()
    assert (outcome := last_outcome()) is not None
    assert outcome.stale
    clock.at += 1
    with pytest.raises(ConnectionError):
        call()


def test_a_result_is_kept_once_in_a_while(service: Service, clock: HeldClock) -> None:
    """Between, the value before is given."""
    call = guarded(service, LastGoodFallback(store_every=10))
    learn(service, call, "first")
    clock.at += 9
    learn(service, call, "second")
    assert call() == "first"
    clock.at += 1
    learn(service, call, "third")
    assert call() == "third"


def test_nothing_is_learnt_from_a_fallback(service: Service, clock: HeldClock) -> None:
    """Neither its own value nor a result that another fallback had a part in."""
    inner = guarded(service, DefaultValueFallback("made up"), "inner")
    outer = with_fallback(LastGoodFallback(store_every=0), operation="outer")(lambda: f"with {inner()}")
    service.result = "truth"
    assert outer() == "with truth"
    service.fails = True
    assert outer() == "with made up"
    clock.at += 1
    broken = with_fallback(LastGoodFallback(), operation="outer")(service)
    assert broken() == "with truth"


@pytest.mark.parametrize(
    ("value", "said"), [(object(), "no JSON form"), ({(1, 2): 3}, "no JSON form"), ("x" * LARGEST, "more than 256 KiB"),
                        ([0] * (LARGEST + 1), "more than 256 KiB")], ids=["object", "keys", "text", "list"]
)  # fmt: skip
def test_what_cannot_be_kept_is_said_once(
    service: Service, clock: HeldClock, caplog: pytest.LogCaptureFixture, value: Any, said: str
) -> None:
    """The call is none the worse for it, and a good value from before stays."""
    call = guarded(service, LastGoodFallback(store_every=0))
    learn(service, call, "good")
    with caplog.at_level(logging.WARNING, logger="fluxora_tasks.fallback.lastgood"):
        for _ in range(5):
            learn(service, call, value)
            clock.at += 100
    assert [said in record.getMessage() for record in caplog.records] == [True]
    assert call() == "good"


def test_arguments_without_a_key_are_said_once(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Also those of a key function that fails; the next step is asked."""

    def no_key(*_: Any) -> str:
        raise IndexError

    for strategy in (LastGoodFallback(), LastGoodFallback(key=no_key)):
        caplog.clear()
        call = guarded(service, ChainedFallback([strategy, DefaultValueFallback("next")]))
        for _ in range(3):
            learn(service, call, 1, object())
        assert call(object()) == "next"
        assert sum("give key=" in record.getMessage() for record in caplog.records) == 1


def test_a_strategy_that_cannot_learn_breaks_no_call(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Said, and the result is returned."""

    class Broken(LastGoodFallback):
        def succeeded(self, *args: Any) -> None:
            raise RuntimeError("broken")

    service.result = 1
    assert guarded(service, Step(Broken()))() == 1
    assert "could not take note" in caplog.text


@pytest.mark.parametrize(
    "options",
    [{"max_age": 0}, {"max_age": "1h"}, {"soft_age": -1}, {"store_every": float("inf")}, {"key": "place"},
     {"max_age": True}],
)  # fmt: skip
def test_a_wrong_option_is_said_when_it_is_declared(options: dict[str, Any]) -> None:
    """With its name."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LastGoodFallback(**options)


def test_alone_it_has_nothing_to_give() -> None:
    """Said by an error of its own."""
    with pytest.raises(NoFallbackValue, match="nothing kept"):
        LastGoodFallback().execute("Oslo")
