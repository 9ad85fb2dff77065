"""Attempts under a circuit: a permit for each, settled with how it ended."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class Permit(Protocol):
    """Leave for one attempt."""

    def settle(self, error: BaseException | None, duration: float | None = None) -> Any:
        """Tell how it ended."""
        ...


class Circuit(Protocol):
    """What gives permits; ``fluxora_tasks.breaker`` has them."""

    def acquire(self) -> Any:
        """A permit, or ``CircuitBreakerError``."""
        ...


def guarded(function: Callable[..., Any], circuit: Callable[[], Circuit]) -> Callable[..., Any]:
    """The function, each call of it under a permit."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        permit, began = circuit().acquire(), time.monotonic()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            permit.settle(error, time.monotonic() - began)
            raise
        permit.settle(None, time.monotonic() - began)
        return result

    return wrapper


def guarded_async(function: Callable[..., Awaitable[Any]], circuit: Callable[[], Circuit]) -> Callable[..., Any]:
    """As ``guarded``, for an async function; the loop is never blocked."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        permit, began = await acquire_async(circuit()), time.monotonic()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            permit.settle(error, time.monotonic() - began)
            raise
        permit.settle(None, time.monotonic() - began)
        return result

    return wrapper


async def acquire_async(circuit: Circuit) -> Any:
    """
    A permit, without blocking the loop.

    Raises:
        CircuitBreakerError: the circuit refuses.
    """
    ask = getattr(circuit, "try_acquire_async", None)
    if ask is None:
        return circuit.acquire()
    answer = await ask()
    if hasattr(answer, "settle"):
        return answer
    raise answer.error()
