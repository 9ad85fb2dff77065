"""Limits of a step: what it is for, how long it may take, how many at once, and its circuit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from fluxora_tasks import CallFallback, ChainedFallback, DefaultValueFallback
from fluxora_tasks.classification import Outcome
from fluxora_tasks.errors import CircuitBreakerError, ConfigurationError, NoFallbackValue
from fluxora_tasks.fallback import Fallback, Step
from fluxora_tasks.fallback.call import Call
from fluxora_tasks.fallback.slots import Slots
from tests.waiting import wait_until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds a step until it is set; set in the end, so that no thread stays."""
    gate = threading.Event()
    yield gate
    gate.set()


def value_after(error: Exception | None, *steps: Any) -> Any:
    return Fallback("op", ChainedFallback(steps)).run(error, (), {}).value


@pytest.mark.parametrize(
    ("on", "error", "expected"),
    [
        (ConnectionError, ConnectionRefusedError(), "first"),  # a subclass of the type
        ((KeyError, OSError), ValueError(), "second"),  # none of the types
        (Outcome.THROTTLED, OSError(), "second"),  # another class of outcome
        ([Outcome.FAILURE_RETRYABLE], TimeoutError(), "first"),
        (CircuitBreakerError, CircuitBreakerError("x"), "first"),
        ((), ValueError(), "first"),  # for everything
        (KeyError, None, "first"),  # an operator's wish has no cause
    ],
)
def test_a_step_is_for_its_causes(on: Any, error: Exception | None, expected: str) -> None:
    """Types of errors and classes of outcomes; without any, all."""
    first, second = DefaultValueFallback("first"), DefaultValueFallback("second")
    assert value_after(error, Step(first, on=on), second) == expected


def test_a_chain_in_a_chain_stands_for_its_steps() -> None:
    """With their own causes and limits."""
    inner = ChainedFallback([Step(DefaultValueFallback("inner"), on=KeyError)])
    chain = ChainedFallback([inner, DefaultValueFallback("outer")])
    assert len(chain.steps) == 2
    assert (value_after(KeyError(), inner), value_after(ValueError(), chain)) == ("inner", "outer")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_step_that_takes_too_long_is_left(gate: threading.Event, asynchronous: bool) -> None:
    """The next one is asked; its thread ends by itself and gives its slot back only then."""
    slow = Step(CallFallback(gate.wait), limit=0.02, concurrency=1)
    fallback = Fallback("op", ChainedFallback([slow, DefaultValueFallback("next")]))

    def ask() -> Any:
        error = OSError()
        outcome = asyncio.run(fallback.run_async(error, (), {})) if asynchronous else fallback.run(error, (), {})
        assert outcome.value == "next"
        return outcome

    assert ask().failed == ("wait: TimeoutError",)
    assert ask().failed == ("wait: NoFallbackValue: 1 calls of it are under way",)
    gate.set()
    wait_until(lambda: fallback.run(OSError(), (), {}).source == "wait")


def test_an_async_step_that_takes_too_long_is_cancelled() -> None:
    """And gives its slot back."""
    cancelled = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    step = Step(CallFallback(slow), limit=0.01, concurrency=1)
    fallback = Fallback("op", ChainedFallback([step, DefaultValueFallback("next")]))
    for _ in range(2):
        assert asyncio.run(fallback.run_async(OSError(), (), {})).failed == ("slow: TimeoutError",)
    assert cancelled == [1, 1]


def test_a_step_never_blocks_the_loop(gate: threading.Event) -> None:
    """A plain function under an async call runs elsewhere, with a limit or without."""

    async def main() -> Any:
        fallback = Fallback("op", Step(CallFallback(gate.wait), limit=None))
        asked = asyncio.ensure_future(fallback.run_async(OSError(), (), {}))
        await asyncio.sleep(0)
        gate.set()
        return (await asked).value

    assert asyncio.run(main()) is True


def test_a_step_without_a_limit_runs_in_the_callers_thread() -> None:
    """One with a limit in a thread of its own, with the caller's context variables."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    variable.set("the caller's")

    def where() -> tuple[bool, str]:
        return threading.current_thread() is threading.main_thread(), variable.get()

    assert value_after(OSError(), Step(CallFallback(where), limit=None)) == (True, "the caller's")
    assert value_after(OSError(), CallFallback(where)) == (False, "the caller's")


def test_slots_are_given_back() -> None:
    """By a step that had a value and by one that had none."""
    fails, works = (Step(CallFallback(f), concurrency=1, limit=None) for f in ([].pop, dict))
    for _ in range(3):
        assert value_after(OSError(), fails, works) == {}


def test_a_forked_child_has_all_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds them lives in the parent; what it gives back is the parent's."""
    slots = Slots(1)
    give_back = slots.take()
    assert give_back is not None
    assert slots.take() is None
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert slots.take() is not None
    give_back()
    assert slots.take() is None


class Circuit:
    """Refuses or permits, and notes how permitted calls ended."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.settled: list[BaseException | None] = []

    def try_acquire(self) -> Any:
        return Refused() if self.refuses else self

    def settle(self, error: BaseException | None) -> None:
        self.settled.append(error)


class Refused:
    """As an open circuit answers."""

    def error(self) -> Exception:
        return CircuitBreakerError("second-service", "OPEN", 2.0)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_step_may_have_a_circuit(asynchronous: bool) -> None:
    """It learns how the step ended; while it refuses, the next step is asked."""
    circuit, error = Circuit(), ValueError()

    def fails() -> None:
        raise error

    def ask(function: Any, circuit: Any) -> Any:
        steps = ChainedFallback([Step(CallFallback(function), breaker=circuit), DefaultValueFallback("next")])
        fallback = Fallback("op", steps)
        return asyncio.run(fallback.run_async(OSError(), (), {})) if asynchronous else fallback.run(OSError(), (), {})

    assert ask(dict, circuit).value == {}
    assert ask(fails, circuit).value == "next"
    assert circuit.settled == [None, error]
    refused = ask(dict, Circuit(refuses=True))
    assert refused.value == "next"
    assert "second-service" in refused.failed[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on": "KeyError"}, "on takes"),
        ({"on": (KeyError, 3)}, "on takes"),
        ({"on": BaseException}, "on takes"),
        ({"limit": 0}, "limit is"),
        ({"limit": True}, "limit is"),
        ({"concurrency": 0}, "concurrency is"),
        ({"concurrency": 1.5}, "concurrency is"),
    ],
)
def test_a_wrong_limit_is_said_when_it_is_declared(options: dict[str, Any], said: str) -> None:
    """With its name."""
    with pytest.raises(ConfigurationError, match=said):
        Step(DefaultValueFallback(1), **options)


def test_a_machine_without_threads_costs_a_value_and_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is passed over."""

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    step = Step(CallFallback(dict), concurrency=1)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            step.ask(Call())
    monkeypatch.undo()
    assert step.ask(Call()).value == {}


def test_nothing_left_is_an_error_of_its_own() -> None:
    """Where there is no error of a call to raise."""
    with pytest.raises(NoFallbackValue, match="op: All fallback strategies failed"):
        value_after(None)
