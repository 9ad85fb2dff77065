"""A circuit of one process or of several, with the clock and the lane in the test's hands."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from random import Random
from typing import Any, TypeVar

from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.permit import Permit, Refusal
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.sharing import Sharing
from fluxora_tasks.breaker.stores.memory import MemoryBreakerStore
from fluxora_tasks.errors import StoreUnavailable

T = TypeVar("T")


class Hour:
    """A clock that the test moves; seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def milliseconds(self) -> int:
        return round(self.now * 1000)


class HandLane:
    """A lane that does jobs at once, and takes turns when the test says so."""

    def __init__(self) -> None:
        self.woken: list[float] = []
        self.participant: Any = None

    def add(self, participant: Any) -> None:
        self.participant = participant

    def wake(self, within: float, participant: Any = None) -> None:
        self.woken.append(within)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(job())
        except Exception as error:
            future.set_exception(error)
        return future


class FragileStore(MemoryBreakerStore):
    """A store that is there as long as the test wants."""

    is_there = True

    def flush(self, *arguments: Any) -> Any:
        return self._asked(super().flush, arguments)

    def admit(self, *arguments: Any) -> Any:
        return self._asked(super().admit, arguments)

    def settle(self, *arguments: Any) -> Any:
        return self._asked(super().settle, arguments)

    def renew(self, *arguments: Any) -> Any:
        return self._asked(super().renew, arguments)

    def _asked(self, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if not self.is_there:
            raise StoreUnavailable("away")
        return method(*arguments)


class Fleet:
    """Processes that share a store."""

    def __init__(self) -> None:
        self.clock = Hour()
        self.store = FragileStore(self.clock.milliseconds, Random(1))

    def process(self) -> Process:
        return Process(self)


class Process:
    """One of them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.lane = HandLane()
        self.sharing = Sharing(fleet.store, self.lane, monotonic=fleet.clock)  # type: ignore[arg-type]

    def circuit(self, policy: BreakerPolicy, name: str = "api") -> LiveBreaker:
        return LiveBreaker(name, policy, self.sharing, monotonic=self._fleet.clock, random=Random(1))

    def turn(self) -> None:
        """What the lane does now and then."""
        try:
            self.sharing.turn()
        except StoreUnavailable:
            self.sharing.on_store(False)


def permitted(circuit: LiveBreaker) -> Permit:
    """A permit; it must be given."""
    answer = circuit.try_acquire()
    assert isinstance(answer, Permit), answer
    return answer


def refused(circuit: LiveBreaker) -> Refusal:
    """A refusal; there must be one."""
    answer = circuit.try_acquire()
    assert isinstance(answer, Refusal), answer
    return answer


def fail(circuit: LiveBreaker, times: int = 1) -> None:
    """Calls that fail."""
    for _ in range(times):
        permitted(circuit).failure()


def succeed(circuit: LiveBreaker, times: int = 1) -> None:
    """Calls that succeed."""
    for _ in range(times):
        permitted(circuit).success()
