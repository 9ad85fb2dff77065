"""A thread that publishes what becomes of messages, so that the worker's loop never waits for the broker.

Dead letters and confirmations, or messages that are put off. A message is settled only after its note was confirmed.
While the broker refuses, notes wait here and their messages stay unacknowledged: at most as many as the worker has
prefetched.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0

#: Notes published before the broker's confirms are waited for; one alone after a failure, so that a note the broker
#: will not take does not send its neighbours out again and again.
_TOGETHER = 50

Release = Callable[[], None]

Note = TypeVar("Note")
_Sent = TypeVar("_Sent", contravariant=True)


class Publisher(Protocol[_Sent]):
    """Publishes notes of one kind."""

    def publish(self, notes: Sequence[_Sent], /) -> None:
        """Send notes; return when the broker has them all."""
        ...


class Outbox(Generic[Note]):
    """Publishes notes in order; calls ``release`` of each from its own thread after the broker's confirm.

    Args:
        publisher: Owned by the thread from its start.
        what: What its notes are, for the log.
    """

    def __init__(self, publisher: Publisher[Note], what: str = "dead letter") -> None:
        self._publisher = publisher
        self._what = what
        self._waiting: deque[tuple[Note, Release]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._random = Random()  # noqa: S311 - spreads reconnects, not a secret

    def submit(self, note: Note, release: Release) -> None:
        """Take charge of a note; returns at once."""
        with self._changed:
            self._waiting.append((note, release))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fluxora-outbox", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def __len__(self) -> int:
        """Notes that are not confirmed yet."""
        return len(self._waiting)

    def drain(self, timeout: float) -> bool:
        """Whether everything submitted so far was confirmed within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def _run(self) -> None:
        pause = 0.0
        while True:
            self._wait_for_work(pause)
            batch = list(itertools.islice(self._waiting, 1 if pause else _TOGETHER))
            try:
                self._publisher.publish([note for note, _ in batch])
            except Exception as exc:  # noqa: BLE001 - whatever it is, the note must not be given up
                if not pause:
                    logger.error("%s not published, its message stays unacknowledged: %s: %s",
                                 self._what, type(exc).__name__, exc)  # fmt: skip
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE) * self._random.uniform(0.75, 1.25)
                continue
            if pause:
                logger.warning("%ss are published again", self._what)
                pause = 0.0
            for _, release in batch:
                self._settle(release)

    def _settle(self, release: Release) -> None:
        try:
            release()
        except Exception:
            logger.exception("acknowledging after a %s failed; the message may run again", self._what)
        with self._changed:
            self._waiting.popleft()
            self._changed.notify_all()

    def _wait_for_work(self, pause: float) -> None:
        """Wait for a note, and for ``pause`` seconds after a failure."""
        with self._changed:
            if pause:
                self._changed.wait_for(lambda: False, pause)
            self._changed.wait_for(lambda: bool(self._waiting))
