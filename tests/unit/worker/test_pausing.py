"""Queues that rest while their only circuit is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fluxora_tasks.worker.pausing import LONGEST, Pausing


class Loop:
    """An event loop whose turns and time are the test's."""

    def __init__(self) -> None:
        self.at = 0.0
        self._soon: list[Callable[[], Any]] = []
        self._timers: list[tuple[float, Callable[..., Any]]] = []

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self._soon.append(lambda: callback(*args))

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        self._timers.append((self.at + delay, lambda: callback(*args)))

    def add_reader(self, fds: Any, callback: Callable[..., Any], *args: Any) -> None: ...

    def remove_reader(self, fd: Any) -> None: ...

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, then run what is due."""
        self.at += seconds
        soon, self._soon = self._soon, []
        due = [run for at, run in self._timers if at <= self.at]
        self._timers = [(at, run) for at, run in self._timers if at > self.at]
        for run in (*soon, *due):
            run()


class Worker:
    """A worker's queues, one circuit, and what became of them."""

    def __init__(self) -> None:
        self.loop, self.passes, self.broken = Loop(), False, False
        self.happened: list[str] = []
        self.pausing = Pausing(lambda name: self.passes, lambda: self.loop.at)
        self.pausing.attach(self, self.loop)

    def pause(self, queue: str) -> None:
        self.happened.append(f"pause {queue}")

    def resume(self, queue: str) -> None:
        if self.broken:
            raise ConnectionError
        self.happened.append(f"resume {queue}")

    def meet(self, circuit: str = "api", queue: str = "work") -> None:
        self.pausing.saw(queue, circuit)
        self.pausing.refused(queue, circuit)
        self.loop.turn()


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_queue_rests_until_the_circuit_would_let_one_pass(worker: Worker) -> None:
    """It is looked at every second; however many messages were refused, it is paused once."""
    worker.meet()
    worker.meet()
    assert worker.happened == ["pause work"]
    for _ in range(5):
        worker.loop.turn(1.0)
    worker.passes = True
    worker.loop.turn(1.0)
    assert worker.happened == ["pause work", "resume work"]
    worker.passes = False
    worker.meet()
    assert worker.happened[2:] == ["pause work"]


def test_no_queue_rests_for_ever(worker: Worker) -> None:
    """Messages of other tasks may have come, and some have waited for long enough."""
    worker.meet()
    for _ in range(int(LONGEST)):
        worker.loop.turn(1.0)
    assert worker.happened == ["pause work", "resume work"]


@pytest.mark.parametrize("other", ["", "db"])
def test_a_queue_with_other_tasks_never_rests(worker: Worker, other: str) -> None:
    """Without a circuit, or under another one; what came ten minutes ago is forgotten."""
    worker.pausing.saw("work", other)
    worker.meet()
    assert worker.happened == []
    worker.loop.turn(601.0)
    worker.meet()
    assert worker.happened == ["pause work"]


def test_queues_rest_each_for_itself(worker: Worker) -> None:
    """What comes from one says nothing about another."""
    worker.pausing.saw("other", "")
    worker.meet()
    assert worker.happened == ["pause work"]


def test_without_an_event_loop_no_queue_rests(worker: Worker) -> None:
    """There is nobody to look."""
    worker.pausing.attach(worker, None)
    worker.meet()
    assert worker.happened == []


def test_a_reconnect_does_not_end_it(worker: Worker) -> None:
    """The consumer is another one, and begins without the queue."""
    worker.meet()
    worker.broken = True
    worker.passes = True
    with pytest.raises(ConnectionError):
        worker.loop.turn(1.0)
    worker.broken = False
    worker.loop.turn(60.0)
    assert worker.happened == ["pause work"]
    worker.pausing.attach(worker, worker.loop)
    worker.loop.turn(1.0)
    assert worker.happened == ["pause work", "resume work"]
