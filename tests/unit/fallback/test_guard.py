"""with_fallback: which failures lead to the fallback, and what the outcome says. Sync and async alike."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, Retry

from fluxora_tasks import (
    CallFallback,
    ChainedFallback,
    DefaultValueFallback,
    FallbackStrategy,
    NonRetryableError,
    RaiseFallback,
    with_fallback,
)
from fluxora_tasks.classification import Classifier, Outcome
from fluxora_tasks.errors import CircuitBreakerError, ConfigurationError, NoFallbackValue
from fluxora_tasks.fallback import last_outcome
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.outcome import FallbackOutcome, forget_outcome
from fluxora_tasks.fallback.toggles import Switch, SwitchKind

Guarded = Callable[..., Any]


class BadRequest(Exception):
    """As an HTTP client raises it."""

    code = 404


class Guard:
    """Decorates a function that raises or returns, plain or async, and calls it."""

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.calls = 0

    def __call__(self, result: Any, strategy: Any, *args: Any, **options: Any) -> Any:
        return self.run(self.guard(result, strategy, **options), *args)

    def guard(self, result: Any, strategy: Any, **options: Any) -> Guarded:
        """The guarded function."""

        def function(*args: Any) -> Any:
            self.calls += 1
            if isinstance(result, BaseException):
                raise result
            return result

        async def coroutine(*args: Any) -> Any:
            return function(*args)

        return with_fallback(strategy, operation="op", **options)(coroutine if self.asynchronous else function)

    def run(self, guarded: Guarded, *args: Any) -> Any:
        """Call it, and remember how it ended."""
        if not inspect.iscoroutinefunction(guarded):
            return guarded(*args)

        async def main() -> Any:
            try:
                return await guarded(*args)
            finally:
                self.outcome = last_outcome()

        return asyncio.run(main())

    @property
    def last(self) -> FallbackOutcome:
        """How the last call ended."""
        outcome = self.outcome if self.asynchronous else last_outcome()
        assert outcome is not None
        return outcome


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def guard(request: pytest.FixtureRequest) -> Guard:
    return Guard(request.param)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionError("no"), "failure_retryable"),
        (RuntimeError("no"), "failure_fatal"),
        (NonRetryableError("no"), "failure_fatal"),
        (CircuitBreakerError("weather", "OPEN", 3.0), "refused"),
    ],
)
def test_a_failure_leads_to_the_fallback(guard: Guard, error: Exception, cause: str) -> None:
    """Transient, final, or refused by a circuit."""
    assert guard(error, DefaultValueFallback(1)) == 1
    assert (guard.last.degraded, guard.last.source, guard.last.value) == (True, "default_value", 1)
    assert guard.last.error.endswith(type(error).__qualname__)
    assert guard.last.cause == cause


def test_a_refused_call_was_not_made(guard: Guard) -> None:
    """The outcome names the circuit; the call had no attempt. Also where another error was raised from the refusal."""
    refusal, wrapped = CircuitBreakerError("weather", "OPEN", 3.0), LookupError("no weather")
    wrapped.__cause__ = refusal
    for error in (refusal, wrapped):
        assert guard(error, DefaultValueFallback(1)) == 1
        assert (guard.last.breaker, guard.last.attempts, guard.last.cause) == ("weather", 0, "refused")


@pytest.mark.parametrize("error", [BadRequest(), Ignore(), Reject("x"), Retry("later")], ids=lambda e: type(e).__name__)
def test_what_is_no_failure_of_the_service_is_raised_as_it_is(guard: Guard, error: Exception) -> None:
    """A wrong request, and what Celery means by an exception."""
    rules = Classifier({BadRequest: Outcome.BAD_REQUEST})
    with pytest.raises(type(error)) as raised:
        guard(error, DefaultValueFallback(1), classifier=rules)
    assert raised.value is error
    assert not getattr(error, "__notes__", [])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()])
def test_what_ends_a_program_passes(error: BaseException) -> None:
    """Nothing but an ``Exception`` is answered."""
    with pytest.raises(type(error)):
        Guard(False)(error, DefaultValueFallback(1))


def test_without_a_value_the_error_of_the_call_is_raised_with_notes(guard: Guard) -> None:
    """Its own context stays, and no text of a foreign error is repeated."""
    error = RuntimeError("first")
    error.__context__ = KeyError("before")

    def second() -> Any:
        raise ValueError("secret")

    with pytest.raises(RuntimeError, match="first") as raised:
        guard(error, ChainedFallback([CallFallback(second), CallFallback([].pop)]))
    assert raised.value.__notes__ == [
        "fallback without a value: second: ValueError",
        "fallback without a value: pop: IndexError",
    ]
    assert isinstance(raised.value.__context__, KeyError)


def test_steps_that_failed_are_told_of(guard: Guard) -> None:
    """The outcome names what was tried before."""
    empty = CallFallback(lambda: (_ for _ in ()).throw(NoFallbackValue("nothing there")))
    assert guard(OSError(), ChainedFallback([empty, DefaultValueFallback(2)])) == 2
    assert guard.last.failed == ("<lambda>: NoFallbackValue: nothing there",)


def test_a_chain_can_end_in_an_error(guard: Guard) -> None:
    """Of the call's own, or another one that names it as its cause; later steps are not asked."""
    late = DefaultValueFallback("late")
    error = OSError("down")
    with pytest.raises(OSError, match="down"):
        guard(error, ChainedFallback([RaiseFallback(), late]))
    with pytest.raises(LookupError) as raised:
        guard(error, ChainedFallback([RaiseFallback(LookupError("closed")), late]))
    assert raised.value.__cause__ is error
    with pytest.raises(KeyError):
        guard(error, ChainedFallback([RaiseFallback(KeyError), late]))


def test_an_error_that_is_raised_often_does_not_grow(guard: Guard) -> None:
    """Its traceback is that of the last time."""
    once = LookupError("closed")

    def depth() -> int:
        with pytest.raises(LookupError) as raised:
            guard(OSError(), RaiseFallback(once))
        return len(raised.traceback)

    assert depth() == depth() == depth()


def test_a_result_is_told_of_and_not_kept_alive(guard: Guard) -> None:
    """last_outcome() says that it was the call's own."""
    assert guard(["result"], DefaultValueFallback(1)) == ["result"]
    assert guard.last == FallbackOutcome(operation="op")
    assert (guard.last.degraded, guard.last.source, guard.last.headers()) == (False, "primary", {})


def test_a_call_that_raises_leaves_no_outcome_of_an_earlier_one() -> None:
    """Who asks after an exception is not told of the call before."""
    guard = Guard(False)
    guard("fine", DefaultValueFallback(1))
    with pytest.raises(Retry):
        guard(Retry("later"), DefaultValueFallback(1))
    assert last_outcome() is None


def test_marks_of_a_degraded_answer() -> None:
    """As headers and as what may be kept beside a result: source, age and cause, nothing of the call."""
    outcome = FallbackOutcome(value="secret", degraded=True, source="last_good", age=12.7, cause="failure_retryable")
    assert outcome.headers() == {"Fluxora-Degraded": "source=last_good; cause=failure_retryable", "Age": "12"}
    assert outcome.meta() == {"degraded": True, "source": "last_good", "age": 12.7, "cause": "failure_retryable"}
    assert "Age" not in FallbackOutcome(degraded=True, source="default_value").headers()


def test_each_thread_has_its_own_outcome() -> None:
    """And so has each context."""
    guard = Guard(False)
    guard(OSError(), DefaultValueFallback(1))
    elsewhere: list[Any] = []
    thread = threading.Thread(target=lambda: elsewhere.append(last_outcome()))
    thread.start()
    thread.join()
    assert elsewhere == [None]
    assert Context().run(last_outcome) is None
    assert guard.last.degraded
    forget_outcome()
    assert last_outcome() is None


def test_each_task_of_a_loop_has_its_own_outcome() -> None:
    """Two at once do not see each other's."""
    guard = Guard(True)

    async def ask(result: Any) -> bool:
        await guard.guard(result, DefaultValueFallback(1))()
        await asyncio.sleep(0)
        outcome = last_outcome()
        assert outcome is not None
        return outcome.degraded

    async def main() -> list[bool]:
        return list(await asyncio.gather(ask(OSError()), ask("fine"), ask(OSError())))

    assert asyncio.run(main()) == [True, False, True]


def test_an_operator_may_have_the_fallback_always(guard: Guard, switches: MemoryToggleStore) -> None:
    """The call is not made, and the outcome says why."""
    switches.put(Switch(SwitchKind.MODE, "op", "always", "ann", "maintenance"))
    assert guard("fine", DefaultValueFallback(1)) == 1
    assert guard.calls == 0
    assert (guard.last.cause, guard.last.attempts, guard.last.error) == ("manual", 0, "")
    with pytest.raises(NoFallbackValue, match="op: RaisesAlways: KeyError"):
        guard("fine", RaisesAlways())


class RaisesAlways(FallbackStrategy):
    """Never a value."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Raises."""
        raise KeyError


def test_an_operator_may_switch_the_fallback_off(guard: Guard, switches: MemoryToggleStore) -> None:
    """Errors pass, results too."""
    switches.put(Switch(SwitchKind.MODE, "op", "off", "ann"))
    with pytest.raises(OSError, match="down"):
        guard(OSError("down"), DefaultValueFallback(1))
    assert guard("fine", DefaultValueFallback(1)) == "fine"


def test_an_operator_may_take_a_share_of_the_calls(guard: Guard, switches: MemoryToggleStore) -> None:
    """The arguments decide, each time alike; others' failures are answered as ever."""
    switches.put(Switch(SwitchKind.MODE, "op", "30%", "ann"))
    guarded = guard.guard("fine", DefaultValueFallback("given"))
    answers = [guard.run(guarded, number) for number in range(200)]
    assert 30 <= answers.count("given") <= 90
    assert [guard.run(guarded, number) for number in range(50)] == answers[:50]
    assert {guard.run(guarded, object()) for _ in range(60)} == {"given", "fine"}, "no JSON form: by chance"


def test_an_async_step_is_for_async_calls() -> None:
    """Said when it is declared, or when it is met."""

    async def estimate() -> int:
        return 3

    with pytest.raises(ConfigurationError, match="is not async"):
        with_fallback(CallFallback(estimate))(lambda: 1)
    assert Guard(True)(OSError(), CallFallback(estimate)) == 3
    assert Guard(True)(OSError(), CallFallback(lambda: estimate())) == 3
    with pytest.raises(OSError, match="down") as raised:
        Guard(False)(OSError("down"), CallFallback(lambda: estimate()))
    assert "must be awaited" in raised.value.__notes__[0]


def test_only_a_strategy_will_do() -> None:
    """Said when it is declared."""
    with pytest.raises(ConfigurationError, match="FallbackStrategy"):
        with_fallback(lambda: 1)(lambda: 1)  # type: ignore[arg-type]
