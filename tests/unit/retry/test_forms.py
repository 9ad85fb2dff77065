"""The other forms of retry: ready policies, calls, blocks of code, permits of a circuit, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fluxora_tasks import NonRetryableError, RetryableError, RetryPolicy, retry
from fluxora_tasks.errors import CircuitBreakerError, ConfigurationError
from fluxora_tasks.events import RetryGivenUp, RetryScheduled, subscribe
from fluxora_tasks.retry import GiveUpReason, Retrying, give_up_reason
from fluxora_tasks.retry.budget import TokenBucket, local_budget

FAST = RetryPolicy(max_attempts=3, base_delay=0, budget=False)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    local_budget.cache_clear()


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """Events of the test."""
    events: list[Any] = []
    end = subscribe(events.append)
    yield events
    end()


class Circuit:
    """Gives permits by a script of True and False, then always; notes how they were settled."""

    def __init__(self, *answers: bool, retry_after: float = 0.0) -> None:
        self.answers, self.retry_after = list(answers), retry_after
        self.settled: list[str] = []

    def acquire(self) -> Any:
        if self.answers and not self.answers.pop(0):
            raise CircuitBreakerError("api", "OPEN", self.retry_after)
        return self

    def settle(self, error: BaseException | None, duration: float | None = None) -> None:
        assert duration is not None
        assert duration >= 0
        self.settled.append(type(error).__name__)


class AsyncCircuit(Circuit):
    """As a shared one answers a coroutine."""

    async def try_acquire_async(self) -> Any:
        try:
            return super().acquire()
        except CircuitBreakerError as error:
            refusal = error

            class Refusal:
                def error(self) -> CircuitBreakerError:
                    return refusal

            return Refusal()

    def acquire(self) -> Any:
        raise AssertionError("this would block the loop")


Block = Callable[[], object]


def run(form: str, retrying: Retrying, body: Block) -> Any:
    """The body under one of the forms."""

    async def coroutine() -> object:
        return body()

    async def loop() -> object:
        async for attempt in retrying.attempts("block"):
            with attempt:
                return body()
        return "left"

    if form == "decorator":
        return retrying(lambda: body())()
    if form == "call":
        return retrying.call(body)
    if form == "attempts":
        for attempt in retrying.attempts("block"):
            with attempt:
                return body()
        return "left"
    if form == "async attempts":
        return asyncio.run(loop())
    return asyncio.run(retrying(coroutine)() if form == "async decorator" else retrying.acall(coroutine))


SYNC = ["decorator", "call", "attempts"]
ASYNC = ["async decorator", "acall", "async attempts"]


@pytest.fixture(params=SYNC + ASYNC)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def script(*outcomes: object) -> Block:
    """A body that raises or returns one of these after another."""
    waiting = list(outcomes)

    def body() -> object:
        outcome = waiting.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return body


def test_every_form_tries_until_it_succeeds(form: str) -> None:
    """A ready policy with the classifier's opinion: two failures, then the value."""
    assert run(form, retry(policy=FAST), script(ConnectionError(), TimeoutError(), "done")) == "done"


def test_every_form_raises_the_last_error_as_it_is(form: str) -> None:
    """After the last attempt, or at once where nothing helps."""
    last = ConnectionError("third")
    with pytest.raises(ConnectionError) as caught:
        run(form, retry(policy=FAST), script(ConnectionError(), ConnectionError(), last, "never"))
    assert caught.value is last
    assert give_up_reason(last) is GiveUpReason.ATTEMPTS
    with pytest.raises(ValueError, match="no") as other:
        run(form, retry(policy=FAST), script(ValueError("no"), "never"))
    assert give_up_reason(other.value) is GiveUpReason.NON_RETRYABLE


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), NonRetryableError()])
def test_what_must_not_be_retried_passes(form: str, error: BaseException) -> None:
    """Also where every exception is."""
    with pytest.raises(type(error)):
        run(form, retry(sleep=None, base_delay=0), script(error, "never"))


def test_each_attempt_has_a_permit(form: str) -> None:
    """Settled with how it ended."""
    circuit = AsyncCircuit() if form in ASYNC else Circuit()
    assert run(form, retry(policy=FAST, breaker=circuit), script(ConnectionError(), "done")) == "done"
    assert circuit.settled == ["ConnectionError", "NoneType"]


def test_a_cancelled_attempt_settles_its_permit(form: str) -> None:
    """The slot of a probe is not lost with it."""
    circuit = AsyncCircuit() if form in ASYNC else Circuit()
    with pytest.raises(asyncio.CancelledError):
        run(form, retry(policy=FAST, breaker=circuit), script(asyncio.CancelledError()))
    assert circuit.settled == ["CancelledError"]


def test_an_open_circuit_ends_it(form: str, heard: list[Any]) -> None:
    """It is neither an attempt, nor retried, nor anything that was given up; the budget is not asked."""
    circuit = AsyncCircuit(False) if form in ASYNC else Circuit(False)
    bucket = TokenBucket(0)
    with pytest.raises(CircuitBreakerError) as caught:
        run(form, retry(breaker=circuit, budget=bucket), script("never"))
    assert (circuit.settled, heard, give_up_reason(caught.value)) == ([], [], None)


def test_a_circuit_that_opens_between_attempts_ends_it(form: str) -> None:
    """The caller sees the refusal, with the failure behind it as its context where Python keeps it."""
    circuit = AsyncCircuit(True, False) if form in ASYNC else Circuit(True, False)
    with pytest.raises(CircuitBreakerError):
        run(form, retry(policy=FAST, breaker=circuit), script(ConnectionError(), "never"))


def test_an_open_circuit_that_is_named_is_waited_for(form: str) -> None:
    """As long as it says; it uses up no attempt and no budget."""
    circuit: Circuit = (
        AsyncCircuit(False, False, False, retry_after=30)
        if form in ASYNC
        else Circuit(False, False, False, retry_after=30)
    )
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    retrying = retry(
        max_attempts=1,
        retry_exceptions=CircuitBreakerError,
        breaker=circuit,
        budget=TokenBucket(0),
        sleep=sleep if form in ASYNC else waits.append,
    )
    assert run(form, retrying, script("done")) == "done"
    assert len(waits) == 3
    assert all(30 <= wait <= 31 for wait in waits)


def test_events(form: str, heard: list[Any]) -> None:
    """What is scheduled and what is given up is told, with the type of the error but not its text."""
    with pytest.raises(ConnectionError):
        run(form, retry(max_attempts=2, base_delay=0), script(ConnectionError("secret"), ConnectionError("secret")))
    scheduled, given_up = heard
    assert isinstance(scheduled, RetryScheduled)
    assert isinstance(given_up, RetryGivenUp)
    assert (scheduled.attempt, scheduled.delay, scheduled.error) == (1, 0, "builtins.ConnectionError")
    assert (given_up.attempt, given_up.reason) == (2, "attempts")
    assert "secret" not in repr(heard)
    assert scheduled.subject == given_up.subject != ""


def test_attempts_are_numbered() -> None:
    """From 1; each loop over them begins anew."""
    attempts, seen = FAST.attempts(), []
    for _ in range(2):
        body = script(ConnectionError(), "done")
        for attempt in attempts:
            with attempt:
                seen.append(attempt.number)
                body()
    assert seen == [1, 2, 1, 2]


def test_an_attempt_that_nobody_enters_is_the_last() -> None:
    """A loop without its ``with`` ends."""
    assert len(list(FAST.attempts())) == 1


def test_a_policy_runs_things_by_itself() -> None:
    """``call``, ``acall`` and ``attempts``, with arguments."""

    def add(one: int, two: int) -> int:
        return one + two

    async def add_async(one: int, two: int) -> int:
        return one + two

    assert FAST.call(add, 1, two=2) == 3
    assert asyncio.run(FAST.acall(add_async, 1, two=2)) == 3


def test_the_decorator_needs_no_parentheses() -> None:
    """``@retry`` is ``@retry()``."""

    @retry
    def fetch() -> str:
        """Fetch."""
        return "done"

    assert (fetch(), fetch.__name__, fetch.__doc__) == ("done", "fetch", "Fetch.")


def test_methods_and_async_objects() -> None:
    """A method is bound as ever; an object with an async ``__call__`` is awaited."""

    class Client:
        failures = 1

        @retry(base_delay=0)
        def fetch(self) -> Client:
            if self.failures:
                self.failures -= 1
                raise RetryableError("busy")
            return self

    class Remote:
        calls = 0

        async def __call__(self) -> int:
            self.calls += 1
            if self.calls < 3:
                raise RetryableError("busy")
            return self.calls

    client = Client()
    assert client.fetch() is client
    assert asyncio.run(retry(base_delay=0)(Remote())()) == 3


def test_a_generator_function_is_refused() -> None:
    """Calling it runs nothing, so that nothing would be retried."""

    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match="generator"):
        retry()(rows)


@pytest.mark.parametrize(
    "beside", [{"max_attempts": 5}, {"retry_exceptions": KeyError}, {"budget": False}, {"jitter": False}]
)
def test_nothing_stands_beside_a_policy(beside: dict[str, Any]) -> None:
    """It would be ignored."""
    with pytest.raises(ConfigurationError, match=next(iter(beside))):
        retry(policy=FAST, **beside)


def test_what_is_no_policy_or_circuit_is_refused() -> None:
    """When declared."""
    with pytest.raises(ConfigurationError, match="RetryPolicy"):
        retry(policy=3)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="CircuitBreaker"):
        retry(breaker=3)


def test_a_deadline_ends_it_and_says_so() -> None:
    """The wait would have ended after it; the note tells so once, even on an error that is raised again."""
    error = RetryableError("busy", 20)
    for _ in range(2):
        with pytest.raises(RetryableError):
            run("call", retry(max_elapsed=10), script(error))
    assert give_up_reason(error) is GiveUpReason.RETRY_AFTER
    assert len(error.__notes__) == 1


def test_the_examples_of_the_first_design() -> None:
    """They run unchanged but for the import line."""

    class TemporaryDatabaseError(RetryableError):
        pass

    saved, outcomes = [], [TemporaryDatabaseError("locked"), None]

    @retry(
        max_attempts=3,
        retry_exceptions=TemporaryDatabaseError,
        base_delay=1.0,
        backoff_factor=2.0,
        jitter=True,
        sleep=lambda _: None,
    )
    def save_data(data: dict[str, str]) -> None:
        error = outcomes.pop(0)
        if error is not None:
            raise error
        saved.append(data)

    save_data({"key": "value"})
    assert saved == [{"key": "value"}]
