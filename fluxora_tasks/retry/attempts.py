"""The attempts of a block of code, for a loop, sync or async."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any

from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.retry.course import Course, Plan
from fluxora_tasks.retry.permits import Circuit, acquire_async


class Attempt:
    """One attempt: a context manager around the block. An error that is retried does not leave it.

    Attributes:
        number: From 1.
    """

    __slots__ = ("_began", "_loop", "_permit", "number")

    def __init__(self, loop: AttemptLoop, number: int, permit: Any) -> None:
        self._loop, self._permit, self._began = loop, permit, 0.0
        self.number = number

    def __enter__(self) -> Attempt:
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._permit is not None:
            self._permit.settle(error, time.monotonic() - self._began)
        return self._loop.ended(error)


class AttemptLoop(Iterator[Attempt], AsyncIterator[Attempt]):
    """One run of the loop: gives attempts, and waits between them, until one succeeds or the last has failed.

    Args:
        circuit: What gives a permit for each attempt; ``None``: none is needed.
        sleep: How to wait, in the manner of the loop; ``None``: ``time.sleep`` or ``asyncio.sleep``.
    """

    def __init__(self, plan: Plan, circuit: Callable[[], Circuit] | None, sleep: Callable[[float], Any] | None) -> None:
        self._plan, self._circuit, self._sleep = plan, circuit, sleep
        self._course = Course(plan, time.monotonic())
        self._delay: float | None = 0.0
        plan.budget.first()

    def __next__(self) -> Attempt:
        while (delay := self._delay) is not None:
            if delay:
                (self._sleep or time.sleep)(delay)
            try:
                return self._attempt(self._circuit().acquire() if self._circuit else None)
            except CircuitBreakerError as refusal:
                if not self.ended(refusal):
                    raise
        raise StopIteration

    async def __anext__(self) -> Attempt:
        while (delay := self._delay) is not None:
            if delay:
                await (self._sleep or asyncio.sleep)(delay)
            try:
                return self._attempt(await acquire_async(self._circuit()) if self._circuit else None)
            except CircuitBreakerError as refusal:
                if not self.ended(refusal):
                    raise
        raise StopAsyncIteration

    def ended(self, error: BaseException | None) -> bool:
        """Take note of how an attempt ended; whether its error is kept from the caller."""
        self._delay = self._course.failed(error) if isinstance(error, Exception) else None
        if error is None:
            self._plan.succeeded(self._course)
        return self._delay is not None

    def _attempt(self, permit: Any) -> Attempt:
        self._delay = None  # an attempt that nobody enters is the last one
        return Attempt(self, self._course.attempt + 1, permit)


class Attempts:
    """The attempts of one block; each loop over it begins anew.

    Args:
        plan: By what is decided.
        circuit: As in ``AttemptLoop``. ``sleep`` likewise.
    """

    def __init__(self, plan: Plan, circuit: Callable[[], Circuit] | None, sleep: Callable[[float], Any] | None) -> None:
        self._plan, self._circuit, self._sleep = plan, circuit, sleep

    def __iter__(self) -> AttemptLoop:
        return AttemptLoop(self._plan, self._circuit, self._sleep)

    def __aiter__(self) -> AttemptLoop:
        return AttemptLoop(self._plan, self._circuit, self._sleep)
