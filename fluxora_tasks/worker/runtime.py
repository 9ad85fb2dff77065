"""What one worker's main process shares between its requests: journal, replay gate, outbox, event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter
from fluxora_tasks.journal import Ending, Journal
from fluxora_tasks.worker.gate import ReplayGate
from fluxora_tasks.worker.outbox import Outbox

#: Seconds a pool without an event loop waits for one confirm before the outbox goes on alone.
_INLINE_WAIT: Final = 15.0

Release = Callable[[], None]


class Hub(Protocol):
    """The part of kombu's event loop that is used here."""

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Run the callback in the loop's next turn; safe from other threads."""
        ...


class WorkerRuntime:
    """Settles messages: a note is published, or the journal written, before the broker is told.

    Args:
        outbox: Publishes notes.
        gate: Drops second copies of a replay.
        journal: ``None`` where it is switched off or has no store.
    """

    def __init__(self, outbox: Outbox, gate: ReplayGate, journal: Journal | None) -> None:
        self.gate = gate
        self.journal = journal
        self._outbox = outbox
        self._hub: Hub | None = None
        self._ended: dict[Ending, list[tuple[str, Release]]] = {}
        self._lock = threading.Lock()

    def attach(self, hub: Hub | None) -> None:
        """Use this event loop; ``None`` for pools that block."""
        self._hub = hub

    def publish(self, note: DeadLetter | Confirmation, release: Release) -> None:
        """Publish a note, then release its message: in the loop where there is one, else before returning."""
        if self._hub is not None:
            self._outbox.submit(note, release)
            return
        released = threading.Event()

        def release_and_go_on() -> None:
            try:
                release()
            finally:
                released.set()

        self._outbox.submit(note, release_and_go_on)
        released.wait(_INLINE_WAIT)

    def ended(self, message_id: str, ending: Ending, release: Release) -> None:
        """Close a message's journal entry, then release it. With a loop, all of one turn go in one round trip."""
        if self.journal is None:
            release()
        elif self._hub is None:
            self.journal.closed([message_id], ending)
            release()
        else:
            with self._lock:
                first = not self._ended
                self._ended.setdefault(ending, []).append((message_id, release))
            if first:
                self._hub.call_soon(self._flush)

    @property
    def unsettled(self) -> int:
        """Messages whose note is not confirmed yet."""
        return len(self._outbox)

    def drain(self, timeout: float) -> bool:
        """Write what is waiting; whether all of it was confirmed in time."""
        self._flush()
        return self._outbox.drain(timeout)

    def _flush(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, {}
        for ending, entries in ended.items():
            if self.journal is not None:
                self.journal.closed([message_id for message_id, _ in entries], ending)
            for _, release in entries:
                release()
