"""What one worker's main process shares between its requests: books, replay gate, outboxes, event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from fluxora_tasks.deadletter.envelope import Note
from fluxora_tasks.journal import Ending
from fluxora_tasks.worker.books import Books
from fluxora_tasks.worker.deferral import Crowd, Deferral
from fluxora_tasks.worker.gate import ReplayGate
from fluxora_tasks.worker.outbox import Outbox
from fluxora_tasks.worker.pausing import Pausing
from fluxora_tasks.worker.permits import CircuitNames
from fluxora_tasks.worker.posting import Hub, Posting

#: Seconds a pool without an event loop waits for one confirm before the outbox goes on alone.
_INLINE_WAIT: Final = 15.0

#: Seconds between two tries to write what the store was not there for.
_OWED_AGAIN: Final = 1.0

Release = Callable[[], None]
Item = TypeVar("Item")


class WorkerRuntime:
    """Settles messages: a note is published, or the books are written, before the broker is told.

    Args:
        outbox: Publishes notes.
        deferrals: Publishes messages that are put off.
        gate: Drops second copies of a replay.
        books: Journal and run counts.
        poison_after: Runs of a message that may end without a clean end.

    Attributes:
        circuit_names: Finds the circuits of a run.
        crowd: Messages put off lately.
        pausing: Which queues rest; ``None`` where no task wants that.
    """

    def __init__(
        self,
        outbox: Outbox[Note],
        deferrals: Outbox[Deferral],
        gate: ReplayGate,
        books: Books,
        poison_after: int,
    ) -> None:
        self.gate = gate
        self.books = books
        self.poison_after = poison_after
        self.circuit_names = CircuitNames()
        self.crowd = Crowd()
        self.pausing: Pausing | None = None
        self._outbox = outbox
        self._deferrals = deferrals
        self._hub: Hub | None = None
        self._posting: Posting | None = None
        self.in_process = True
        self._started: list[str] = []
        self._ended: dict[Ending | None, list[tuple[str, Release]]] = {}
        self._released: list[Release] = []
        self._lock = threading.Lock()
        self._will_try_again = False

    def attach(self, hub: Hub | None, *, in_process: bool) -> None:
        """
        Use this event loop.

        Args:
            hub: ``None`` for loops that block.
            in_process: Bodies run in this very process: whatever kills them kills the books, so a run is written
                down before it begins.
        """
        self._hub, self.in_process = hub, in_process
        self._posting = Posting(self.books, hub) if hub is not None else None
        self._will_try_again = False

    def publish(self, note: Note, release: Release) -> None:
        """Publish a note, then release its message: in the loop where there is one, else before returning."""
        self._submit(self._outbox, note, release)

    def defer(self, deferral: Deferral, release: Release) -> None:
        """Publish a message that is put off, then release the one it replaces; likewise."""
        self._submit(self._deferrals, deferral, release)

    def started(self, message_id: str) -> None:
        """Count a run that begins."""
        if not self.books.kept:
            return
        if self.in_process or self._hub is None:
            self.books.write([message_id], {})
        else:
            self._note(lambda: self._started.append(message_id))

    def ended(self, message_id: str, ending: Ending | None, release: Release) -> None:
        """Write down the end of a run, then release its message; all of one turn of the loop go in one command."""
        if not self.books.kept:
            self.in_loop(release)
        elif self._hub is None:
            self.books.write([], {ending: [message_id]})
            release()
        else:
            self._note(lambda: self._ended.setdefault(ending, []).append((message_id, release)))

    @property
    def unsettled(self) -> int:
        """Messages whose note is not confirmed yet."""
        return len(self._outbox) + len(self._deferrals)

    def drain(self, timeout: float) -> bool:
        """Write what is waiting; whether all of it was confirmed in time."""
        self._flush_and_wait()
        # deferrals first: what becomes of a replay is told after its message is out again
        confirmed = self._deferrals.drain(timeout) and self._outbox.drain(timeout)
        self._flush_and_wait()
        return confirmed

    def _submit(self, outbox: Outbox[Item], note: Item, release: Release) -> None:
        if self._hub is not None:
            outbox.submit(note, release)
            return
        released = threading.Event()

        def release_and_go_on() -> None:
            try:
                release()
            finally:
                released.set()

        outbox.submit(note, release_and_go_on)
        released.wait(_INLINE_WAIT)

    def in_loop(self, release: Release) -> None:
        """Settle in the loop's own thread: a connection must not be written to by two."""
        if self._hub is None or threading.current_thread() is threading.main_thread():
            release()
        else:
            with self._lock:
                self._released.append(release)
            self._hub.call_soon(self._release)

    def _release(self) -> None:
        with self._lock:
            released, self._released = self._released, []
        for release in released:
            release()

    def _note(self, add: Callable[[], None]) -> None:
        with self._lock:
            first = not self._started and not self._ended
            add()
        if first and self._hub is not None:
            self._hub.call_soon(self._flush)

    def _flush(self) -> None:
        with self._lock:
            started, self._started = self._started, []
            ended, self._ended = self._ended, {}
        if self._posting is not None and (started or ended or self.books.owing):
            self._posting.post(started, ended)
        self._try_again_later()

    def _flush_and_wait(self) -> None:
        self._release()
        self._flush()
        if self._posting is not None:
            self._posting.settle()

    def _try_again_later(self) -> None:
        """Come back for what the store was not there for, even if no message ends meanwhile."""
        if self.books.owing and self._hub is not None and not self._will_try_again:
            self._will_try_again = True
            self._hub.call_later(_OWED_AGAIN, self._flush_owed)

    def _flush_owed(self) -> None:
        self._will_try_again = False
        self._flush()
