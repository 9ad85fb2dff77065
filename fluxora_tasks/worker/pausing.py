"""Queues that rest while the only circuit their messages need is open [celery].

A message of a resting queue stays in the broker instead of coming round again and again. Whatever happens, a queue is
looked into at least once a minute, so that messages of other tasks are seen and messages that waited too long end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from fluxora_tasks.worker.posting import Hub

logger = logging.getLogger(__name__)

#: Seconds between two looks · that a queue rests at most in one go · that what came from a queue is remembered.
_LOOK: Final = 1.0
LONGEST: Final = 60.0
_MEMORY: Final = 600.0


class Intake(Protocol):
    """The queues of a worker."""

    def pause(self, queue: str) -> None:
        """Stop consuming from a queue."""
        ...

    def resume(self, queue: str) -> None:
        """Consume from it again."""
        ...


class CeleryIntake:
    """The queues of a Celery consumer; for its loop's own thread."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def pause(self, queue: str) -> None:
        """Stop consuming from a queue, also after a reconnect."""
        self._consumer.cancel_task_queue(queue)

    def resume(self, queue: str) -> None:
        """Consume from it again."""
        self._consumer.add_task_queue(queue)


class Pausing:
    """Which queues rest, and when they go on.

    Args:
        would_pass: Whether the circuit of this name would give a permit now; no I/O.
        monotonic: Source of time.
    """

    def __init__(self, would_pass: Callable[[str], bool], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._would_pass, self._monotonic = would_pass, monotonic
        self._intake: Intake | None = None
        self._hub: Hub | None = None
        self._seen: dict[str, dict[str, float]] = {}
        self._resting: dict[str, tuple[str, float]] = {}
        self._looks = False

    def attach(self, intake: Intake, hub: Hub | None) -> None:
        """Use this consumer from now on, after a reconnect, too; without a loop no queue ever rests."""
        self._intake, self._hub, self._looks = intake, hub, False
        if self._resting:
            self._look_later()

    def saw(self, queue: str, circuit: str) -> None:
        """A message came whose task is under this circuit; empty for none, or for others than one."""
        self._seen.setdefault(queue, {})[circuit] = self._monotonic()

    def refused(self, queue: str, circuit: str) -> None:
        """The circuit refused a message of the queue; let the queue rest if nothing else comes from it."""
        if self._hub is None or queue in self._resting or not self._is_alone(queue, circuit):
            return
        self._resting[queue] = (circuit, self._monotonic() + LONGEST)
        self._hub.call_soon(self._pause, queue, circuit)
        self._look_later()

    def _is_alone(self, queue: str, circuit: str) -> bool:
        since = self._monotonic() - _MEMORY
        return not any(at > since for other, at in self._seen.get(queue, {}).items() if other != circuit)

    def _pause(self, queue: str, circuit: str) -> None:
        if self._intake is not None:
            logger.info("queue %s rests: circuit %s is open", queue, circuit)
            self._intake.pause(queue)

    def _look_later(self) -> None:
        if self._hub is not None and not self._looks:
            self._looks = True
            self._hub.call_later(_LOOK, self._look)

    def _look(self) -> None:
        self._looks = False
        now = self._monotonic()
        for queue, (circuit, until) in list(self._resting.items()):
            if now >= until or self._would_pass(circuit):
                self._resume(queue)
                del self._resting[queue]  # not if that raised: the connection broke, and the queue still rests
        if self._resting:
            self._look_later()

    def _resume(self, queue: str) -> None:
        if self._intake is not None:
            logger.info("queue %s goes on", queue)
            self._intake.resume(queue)
