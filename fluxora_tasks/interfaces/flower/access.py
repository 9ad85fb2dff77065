"""The dead-letter operations, asked off Flower's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from fluxora_tasks.errors import LedgerUnavailable

if TYPE_CHECKING:
    from fluxora_tasks.operations.dead_letters import DeadLetters

T = TypeVar("T")

#: Own threads, so that a ledger that hangs takes none of Flower's.
_THREADS = 4


class Access:
    """Opens the ledger at the first question and keeps it; one that is away is tried again at the next.

    Args:
        open_ledger: Opens it; may raise ``LedgerUnavailable``.
        limit: Seconds to wait for an answer.
    """

    def __init__(self, open_ledger: Callable[[], DeadLetters], *, limit: float = 30.0) -> None:
        self._open_ledger = open_ledger
        self._limit = limit
        self._opened: DeadLetters | None = None
        self._opening = Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fluxora-ledger")

    async def ask(self, question: Callable[[DeadLetters], T]) -> T:
        """The answer to ``question``, which runs in a thread.

        Raises:
            LedgerUnavailable: no answer within the limit; what was asked may still happen.
        """
        answer = asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question)
        try:
            return await asyncio.wait_for(answer, self._limit)
        except TimeoutError as exc:
            raise LedgerUnavailable(
                f"no answer within {self._limit:g} s; an action may still be done, its history tells"
            ) from exc

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, question: Callable[[DeadLetters], T]) -> T:
        return question(self._dead_letters())

    def _dead_letters(self) -> DeadLetters:
        with self._opening:
            if self._opened is None:
                self._opened = self._open_ledger()
            return self._opened
