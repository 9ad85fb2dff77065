"""One step of a fallback: a strategy, the causes it is for, and its limits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from fluxora_tasks.classification import Outcome, classify
from fluxora_tasks.errors import ConfigurationError, NoFallbackValue
from fluxora_tasks.fallback.call import Answer, Call
from fluxora_tasks.fallback.slots import Slots, in_thread
from fluxora_tasks.fallback.strategies import FallbackStrategy, asked, at_once, is_async

#: Seconds a step may take.
LIMIT: Final = 1.0

#: Calls of a step that may be under way in one process.
CONCURRENCY: Final = 64

Cause = type[Exception] | Outcome


class Guard(Protocol):
    """A circuit, as far as a step knows it."""

    def try_acquire(self) -> Any:
        """A permit, or a refusal with an ``error()``."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """A strategy with its limits; checked when built.

    Attributes:
        strategy: What gives the value.
        on: Errors and outcome classes it is for; empty: all that lead to the fallback. A fallback that an operator
            asked for has no cause, and asks every step.
        limit: Seconds it may take. A step with a limit runs in a thread of its own, with the caller's context
            variables; a plain value or one kept in memory does not. ``None``: no limit, in the caller's thread.
        concurrency: Calls of it that may be under way in this process; beyond that it is passed over. From 1.
        breaker: A circuit around it; while it is open, the step is passed over.
    """

    strategy: FallbackStrategy
    _: KW_ONLY
    on: Cause | Sequence[Cause] = ()
    limit: float | None = LIMIT
    concurrency: int = CONCURRENCY
    breaker: Guard | None = None
    slots: Slots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(getattr(self.strategy, "execute", None)):
            raise ConfigurationError(f"a fallback takes a FallbackStrategy; got {self.strategy!r}")
        object.__setattr__(self, "on", _causes(self.on))
        if self.limit is not None and (isinstance(self.limit, bool) or not 0 < self.limit < float("inf")):
            raise ConfigurationError(f"limit is a number of seconds above 0, or None; got {self.limit!r}")
        if isinstance(self.concurrency, bool) or not isinstance(self.concurrency, int) or self.concurrency < 1:
            raise ConfigurationError(f"concurrency is a whole number from 1; got {self.concurrency!r}")
        object.__setattr__(self, "slots", Slots(self.concurrency))

    @property
    def name(self) -> str:
        """What notes call it."""
        return getattr(self.strategy, "source", "") or type(self.strategy).__name__

    @property
    def is_async(self) -> bool:
        """Whether only an async function can be given its value."""
        return is_async(self.strategy)

    def is_for(self, error: Exception | None) -> bool:
        """Whether it is to be asked after such a failure."""
        causes: tuple[Cause, ...] = self.on  # type: ignore[assignment]  # a tuple after __post_init__
        return error is None or not causes or any(_is(error, cause) for cause in causes)

    def ask(self, call: Call) -> Answer:
        """The answer, within the limits; raises where there is none."""
        found = at_once(self.strategy, call)
        if found is None:
            with permitted(self.breaker):
                found = self._limited(call)
        if inspect.isawaitable(found.value):
            _discard(found.value)
            raise NoFallbackValue("its value must be awaited, and the call is not async")
        return found

    async def ask_async(self, call: Call) -> Answer:
        """Likewise; never blocks the loop."""
        found = at_once(self.strategy, call)
        if found is not None:
            return found
        with permitted(self.breaker):
            return await (self._awaited(call) if self.is_async else self._threaded(call))

    def _limited(self, call: Call) -> Answer:
        give_back = self._slot()
        if self.limit is not None:
            return in_thread(partial(asked, self.strategy, call), give_back).result(self.limit)
        try:
            return asked(self.strategy, call)
        finally:
            give_back()

    async def _threaded(self, call: Call) -> Answer:
        future = in_thread(partial(asked, self.strategy, call), self._slot())
        answer = await asyncio.wait_for(asyncio.wrap_future(future), self.limit)
        return await self._finished(answer) if inspect.isawaitable(answer.value) else answer

    async def _awaited(self, call: Call) -> Answer:
        give_back = self._slot()
        try:
            return await self._finished(asked(self.strategy, call))
        finally:
            give_back()

    async def _finished(self, answer: Answer) -> Answer:
        return Answer(await asyncio.wait_for(answer.value, self.limit), answer.source)

    def _slot(self) -> Callable[[], None]:
        give_back = self.slots.take()
        if give_back is None:
            raise NoFallbackValue(f"{self.concurrency} calls of it are under way")
        return give_back


@contextmanager
def permitted(breaker: Guard | None) -> Iterator[None]:
    """With a permit of the circuit, which learns how it ended."""
    permit = breaker.try_acquire() if breaker is not None else None
    if permit is None:
        yield
        return
    if not hasattr(permit, "settle"):
        raise permit.error()
    try:
        yield
    except BaseException as error:
        permit.settle(error)
        raise
    permit.settle(None)


def _is(error: Exception, cause: Cause) -> bool:
    return classify(error) is cause if isinstance(cause, Outcome) else isinstance(error, cause)


def _causes(given: Cause | Sequence[Cause]) -> tuple[Cause, ...]:
    causes = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    for cause in causes:
        if not isinstance(cause, Outcome) and not (isinstance(cause, type) and issubclass(cause, Exception)):
            raise ConfigurationError(f"on takes exception types and outcome classes; got {cause!r}")
    return causes


def _discard(awaitable: Any) -> None:
    """Close a coroutine that nobody will await, so that Python does not complain."""
    close = getattr(awaitable, "close", None)
    if callable(close):
        close()
