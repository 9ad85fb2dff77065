"""How many calls of one fallback step are under way in this process, and threads that may outlive their time limit."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Slots:
    """At most ``limit`` at once; a forked child starts with all of them free."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pid, self._free = os.getpid(), threading.BoundedSemaphore(limit)

    def take(self) -> Callable[[], None] | None:
        """A function that gives the slot back; ``None`` where none is free."""
        if self._pid != os.getpid():
            self._pid, self._free = os.getpid(), threading.BoundedSemaphore(self._limit)
        free = self._free
        return free.release if free.acquire(blocking=False) else None


def in_thread(function: Callable[[], T], done: Callable[[], None]) -> Future[T]:
    """
    Run a function in a thread of its own, with the caller's context variables.

    A thread that is not waited for any longer ends by itself, and never holds up the end of the process.

    Args:
        done: Called when the function has ended, however late.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody can cancel it
    work = (future, contextvars.copy_context(), function, done)
    try:
        threading.Thread(target=_work, args=work, name="fluxora-fallback", daemon=True).start()
    except RuntimeError:
        done()
        raise
    return future


def _work(
    future: Future[Any], context: contextvars.Context, function: Callable[[], Any], done: Callable[[], None]
) -> None:
    try:
        future.set_result(context.run(function))
    except BaseException as error:  # noqa: BLE001 - whoever waits has it raised
        future.set_exception(error)
    finally:
        done()
