"""CircuitBreaker: a circuit around functions and blocks of code, plain and async."""

from __future__ import annotations

import functools
import inspect
import logging
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, TypeVar, overload

from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.permit import Permit, Refusal
from fluxora_tasks.breaker.policies import simple_policy
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Order, Result
from fluxora_tasks.breaker.registry import breakers, declare
from fluxora_tasks.classification import Classifier, classify
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.shared import when_changed

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

#: Blocks entered with ``with``: (circuit, permit, outer ones).
_Entered = tuple["CircuitBreaker", Permit, "Any"] | None
_entered: ContextVar[_Entered] = ContextVar("fluxora_circuits", default=None)


class CircuitBreaker:
    """
    Calls to something that may be ill: while it is, they are refused at once instead of made.

    ``@circuit`` over a function, ``circuit.call(function, ...)``, ``with circuit:`` and ``async with circuit:`` over a
    block, or ``permit = circuit.acquire()`` with ``permit.settle(error)``. No lock is held during a call, and the error
    of a call is raised as it is.

    Args:
        failure_threshold: Failures in the window, without one success, that open the circuit; from 1.
        recovery_timeout: Seconds until a probe may pass, the first time; from 0.
        fallback_function: Called with the arguments of a call that was refused or failed; its value is the call's.
            Not for blocks.
        name: Shared with every process that uses the name (through the Redis of the settings). ``None``: of this
            process and object alone.
        policy: All the rules, instead of the two numbers.
        classifier: What errors mean: a bad request or a cancelled call is no failure of the other side.

    Raises:
        ConfigurationError: an argument is out of range.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 30,
        fallback_function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        policy: BreakerPolicy | None = None,
        classifier: Classifier = classify,
    ) -> None:
        if policy is not None and (failure_threshold, recovery_timeout) != (5, 30):
            raise ConfigurationError("failure_threshold and recovery_timeout are in the policy where there is one")
        if fallback_function is not None and not callable(fallback_function):
            raise ConfigurationError(f"fallback_function takes a function; got {fallback_function!r}")
        self.name = "" if name is None else checked_name(name)
        self.fallback_function, self.classifier = fallback_function, classifier
        self._policy = policy or simple_policy(failure_threshold, recovery_timeout)
        self._live: LiveBreaker | None = None
        if name is None:
            self._live = LiveBreaker("", self._policy, None, classifier)
        else:
            declare(name, self._policy)
            _named.add(self)

    # ------------------------------------------------------------------------------------------- calls

    @overload
    def __call__(self, function: F) -> F: ...

    @overload
    def __call__(self, function: None = None) -> CircuitBreaker: ...

    def __call__(self, function: F | None = None) -> F | CircuitBreaker:
        """The function, each call of it under this circuit."""
        if function is None:
            return self
        wrap = _guarded_async if inspect.iscoroutinefunction(function) else _guarded
        guarded: F = wrap(self, function)
        return guarded

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function under this circuit; of an async one something to await."""
        return self(function)(*args, **kwargs)

    async def acall(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As ``call``, awaited."""
        return await _guarded_async(self, function)(*args, **kwargs)

    def acquire(self) -> Permit:
        """
        A permit for one call; settle it.

        Raises:
            CircuitBreakerError: the circuit refuses.
        """
        return self.live.acquire()

    def try_acquire(self) -> Permit | Refusal:
        """A permit for one call, or a refusal."""
        return self.live.try_acquire()

    async def try_acquire_async(self) -> Permit | Refusal:
        """As ``try_acquire``, without blocking the loop."""
        return await self.live.try_acquire_async()

    def __enter__(self) -> Permit:
        return self._enter(self.live.acquire())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)

    async def __aenter__(self) -> Permit:
        return self._enter(await self.live.acquire_async())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)

    def _enter(self, permit: Permit) -> Permit:
        _entered.set((self, permit, _entered.get()))
        return permit

    def _leave(self, error: BaseException | None) -> None:
        entered = _entered.get()
        if entered is None or entered[0] is not self:
            logger.warning("%r is left in another context than it was entered in; that call is not counted", self)
            return
        _entered.set(entered[2])
        entered[1].settle(error)

    # ------------------------------------------------------------------------------------------ people

    @property
    def live(self) -> LiveBreaker:
        """The circuit in this process."""
        if self._live is None:
            self._live = breakers().get(self.name, self._policy, self.classifier)
        return self._live

    @property
    def policy(self) -> BreakerPolicy:
        """The rules in force, what is configured for the name included."""
        return self.live.policy

    @property
    def state(self) -> CircuitState:
        """Where the circuit stands, as far as this process knows; what an operator forced counts."""
        state = self.live.status()["state"]
        return CircuitState(_FORCED.get(state, state))

    def get_state(self) -> dict[str, Any]:
        """
        What is known in this process, without I/O.

        ``state`` (CLOSED, OPEN, HALF_OPEN), ``failure_count`` (in the window, or those that opened it),
        ``last_failure_time`` (seconds since the epoch, 0: none known), and all that ``LiveBreaker.status`` tells.
        """
        live = self.live
        return {
            **live.status(),
            "state": self.state.value,
            "failure_count": live.failure_count,
            "last_failure_time": live.last_failure_time,
        }

    def reset(self, reason: str = "reset by code") -> None:
        """
        Back to CLOSED with nothing counted; of a named circuit for everybody.

        Raises:
            StoreUnavailable: it has a name, and shared state does not answer.
        """
        live, store = self.live, breakers().store
        if self.name and store is not None:
            live.answered(store.reset(self.name, Order("code", reason), live.policy))
        live.reset_here()

    def __repr__(self) -> str:
        return f"CircuitBreaker(name={self.name or None!r}, state={self.state.value})"


_FORCED: Final = {
    "FORCED_OPEN": "OPEN",
    "FORCED_CLOSED": "CLOSED",
    "DISABLED": "CLOSED",
    "METRICS_ONLY": "CLOSED",
}


def _guarded(circuit: CircuitBreaker, function: Callable[..., Any]) -> Any:
    monotonic = time.monotonic

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        live = circuit._live or circuit.live
        view = live.view
        if monotonic() >= view.fast_until:  # anything but a closed circuit whose calls are not timed
            return _carefully(circuit, live, function, args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if live.failed(view, error) is not Result.FAILURE or circuit.fallback_function is None:
                raise
            return circuit.fallback_function(*args, **kwargs)
        view.tally.succeed()
        return result

    return wrapper


def _carefully(circuit: CircuitBreaker, live: LiveBreaker, function: Any, args: Any, kwargs: Any) -> Any:
    """A call under a permit of its own."""
    fallback = circuit.fallback_function
    permit = live.try_acquire()
    if isinstance(permit, Refusal):
        if fallback is None:
            raise permit.error()
        return fallback(*args, **kwargs)
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        if permit.settle(error) is not Result.FAILURE or fallback is None:
            raise
        return fallback(*args, **kwargs)
    permit.settle_value(result)
    return result


def _guarded_async(circuit: CircuitBreaker, function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        live = circuit._live or circuit.live
        permit = await live.try_acquire_async()
        if isinstance(permit, Refusal):
            if circuit.fallback_function is None:
                raise permit.error()
            return await _awaited(circuit.fallback_function(*args, **kwargs))
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            if permit.settle(error) is not Result.FAILURE or circuit.fallback_function is None:
                raise
            return await _awaited(circuit.fallback_function(*args, **kwargs))
        permit.settle_value(result)
        return result

    return wrapper


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


_named: Final[weakref.WeakSet[CircuitBreaker]] = weakref.WeakSet()


def _forget() -> None:
    """Another shared state is used from now on."""
    for circuit in tuple(_named):
        circuit._live = None


when_changed(_forget)
