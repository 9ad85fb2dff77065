"""CircuitBreaker around functions and blocks, plain and async."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fluxora_tasks import BreakerPolicy, CircuitBreaker, CircuitBreakerError, CircuitState
from fluxora_tasks.breaker.registry import breakers
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry import retry


def broken(*_: Any) -> None:
    raise ConnectionError("down")


async def broken_async(*_: Any) -> None:
    raise ConnectionError("down")


def as_decorator(circuit: CircuitBreaker) -> Callable[[], Any]:
    return circuit(broken)


def as_call(circuit: CircuitBreaker) -> Callable[[], Any]:
    return lambda: circuit.call(broken)


def as_block(circuit: CircuitBreaker) -> Callable[[], Any]:
    def run() -> None:
        with circuit:
            broken()

    return run


def as_two_steps(circuit: CircuitBreaker) -> Callable[[], Any]:
    def run() -> None:
        permit = circuit.acquire()
        try:
            broken()
        except ConnectionError as error:
            permit.settle(error)
            raise

    return run


def as_async_decorator(circuit: CircuitBreaker) -> Callable[[], Any]:
    return lambda: asyncio.run(circuit(broken_async)())


def as_async_call(circuit: CircuitBreaker) -> Callable[[], Any]:
    return lambda: asyncio.run(circuit.acall(broken_async))


def as_async_block(circuit: CircuitBreaker) -> Callable[[], Any]:
    async def run() -> None:
        async with circuit:
            await broken_async()

    return lambda: asyncio.run(run())


FORMS = [as_decorator, as_call, as_block, as_two_steps, as_async_decorator, as_async_call, as_async_block]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_counts_and_refuses(form: Callable[[CircuitBreaker], Callable[[], Any]]) -> None:
    """The failure of the call itself is raised as it is, also by the call that opens the circuit."""
    circuit = CircuitBreaker(failure_threshold=3, recovery_timeout=60)
    call = form(circuit)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            call()
    with pytest.raises(CircuitBreakerError) as refused:
        call()
    assert circuit.state is CircuitState.OPEN
    assert 0 < refused.value.retry_after <= 66


def test_a_fallback_function_answers_for_a_refused_and_a_failed_call() -> None:
    """With the arguments of the call; not for what says nothing about the other side."""
    circuit = CircuitBreaker(2, 60, lambda user: {"user": user, "is_fallback": True})

    @circuit
    def get_user(user: str) -> dict[str, Any]:
        raise Exception("Failed to get user")

    assert [get_user("ann")["is_fallback"] for _ in range(4)] == [True] * 4

    @circuit
    async def get_user_async(user: str) -> dict[str, Any]:
        raise Exception("Failed to get user")

    assert asyncio.run(get_user_async("bob")) == {"user": "bob", "is_fallback": True}
    circuit.reset()

    @circuit
    def interrupted(user: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted("ann")


def test_its_state_is_told_as_a_mapping() -> None:
    """State, failures and the time of the last one; a reset forgets them."""
    circuit = CircuitBreaker(failure_threshold=2)
    assert circuit.get_state().items() >= {"state": "CLOSED", "failure_count": 0, "last_failure_time": 0}.items()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            circuit.call(broken)
    state = circuit.get_state()
    assert (state["state"], state["failure_count"]) == ("OPEN", 2)
    failed_at = datetime.fromtimestamp(state["last_failure_time"], UTC)
    assert abs(failed_at - datetime.now(UTC)) < timedelta(seconds=30)
    circuit.reset()
    assert circuit.get_state().items() >= {"state": "CLOSED", "failure_count": 0, "last_failure_time": 0}.items()


def test_zero_seconds_are_enough_to_recover() -> None:
    """The next call is the probe."""
    circuit = CircuitBreaker(failure_threshold=1, recovery_timeout=0)
    with pytest.raises(ConnectionError):
        circuit.call(broken)
    assert circuit.call(lambda: 7) == 7
    assert circuit.state is CircuitState.CLOSED


def test_no_lock_is_held_during_a_call() -> None:
    """Two calls that wait for one another get through together."""
    circuit, both = CircuitBreaker(), threading.Barrier(2, timeout=20)
    meet = circuit(both.wait)
    other = threading.Thread(target=meet)
    other.start()
    meet()
    other.join()


def test_blocks_may_stand_in_one_another() -> None:
    """Each is settled with its own end."""
    outer, inner = CircuitBreaker(failure_threshold=1), CircuitBreaker(failure_threshold=1)
    with outer:
        with pytest.raises(ConnectionError), inner, outer:
            broken()
        assert inner.state is CircuitState.OPEN
    assert outer.state is CircuitState.OPEN


def test_a_value_may_be_a_failure() -> None:
    """As trip_on sees it: a refused login opens the circuit for a while."""
    circuit = CircuitBreaker(policy=BreakerPolicy(trip_on=lambda seen: 20.0 if seen == 503 else None))
    assert circuit.call(lambda: 200) == 200
    assert circuit.call(lambda: 503) == 503
    with pytest.raises(CircuitBreakerError) as refused:
        circuit.call(lambda: 200)
    assert 19 < refused.value.retry_after <= 20


def test_a_name_means_the_same_circuit_everywhere_in_a_process() -> None:
    """The one of the registry; retry takes the name as well."""
    first = CircuitBreaker(failure_threshold=1, recovery_timeout=60, name="shared-here")
    second = CircuitBreaker(failure_threshold=1, recovery_timeout=60, name="shared-here")
    with pytest.raises(ConnectionError):
        first.call(broken)
    assert second.state is CircuitState.OPEN
    with pytest.raises(CircuitBreakerError):
        retry(max_attempts=3, base_delay=0, breaker="shared-here").call(broken)


def test_what_the_code_says_of_a_name_holds_for_whoever_only_names_it(caplog: pytest.LogCaptureFixture) -> None:
    """Of two opinions the first one, with a warning."""
    CircuitBreaker(failure_threshold=7, name="declared")
    CircuitBreaker(failure_threshold=8, name="declared")
    assert breakers().get("declared").policy.all_failed == 7
    assert "declared" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"failure_threshold": 0}, "failure_threshold"),
        ({"failure_threshold": "5"}, "failure_threshold"),
        ({"recovery_timeout": -1}, "recovery_timeout"),
        ({"fallback_function": 7}, "fallback_function"),
        ({"name": "{api}"}, "braces"),
        ({"name": ""}, "name"),
        ({"failure_threshold": 3, "policy": BreakerPolicy()}, "policy"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(arguments: dict[str, Any], named: str) -> None:
    """One line that names the argument."""
    with pytest.raises(ConfigurationError, match=named) as refused:
        CircuitBreaker(**arguments)
    assert "\n" not in str(refused.value)


def test_a_refusal_survives_pickle() -> None:
    """Celery sends it from process to process."""
    error = pickle.loads(pickle.dumps(CircuitBreakerError("api", "OPEN", 3.5)))
    assert (error.name, error.state, error.retry_after) == ("api", "OPEN", 3.5)
