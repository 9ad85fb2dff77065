"""The dead-letter queue into the ledger [kombu].

Messages are taken raw, stored in one transaction per batch, and acknowledged after its commit. While the ledger
is away they stay unacknowledged; while the broker is away they stay with it. Nothing is lost on the way: what
cannot become a record is parked with its bytes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from kombu import Connection, Queue

from fluxora_tasks.deadletter.envelope import DeadLetter, Note, Payload
from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.ledger.intake import GLANCE, ConsumerIntake, Intake, first_of
from fluxora_tasks.ledger.reading import NoteReader
from fluxora_tasks.ledger.redis_intake import RedisIntake, is_served
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.ledger.retention import Retention

logger = logging.getLogger(__name__)

#: Seconds of the first and of the longest pause while a part is away.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0


#: Seconds between two rounds of retention that found nothing left to do, and of one at most.
_PURGE_EVERY: Final = 60.0
_PURGE_FOR: Final = 1.0


@dataclass(frozen=True, slots=True)
class Care:
    """What a recorder looks after beside recording.

    Attributes:
        unconfirmed_after: Seconds without news after which a replay is noted.
        retention: How long what is kept.
    """

    unconfirmed_after: float = 900.0
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A message that is no note, with the reason."""

    payload: Payload
    error: str


_Read = Note | _Unreadable


class Recorder:
    """
    Consumes the dead-letter queue until told to stop.

    Args:
        connection: To the broker, with the recorder's own transport options; cloned, never used itself.
        queue: The dead-letter queue; declared if missing.
        ledger: Where everything goes.
        batch: Notes per transaction at most; RabbitMQ sends up to twice as many ahead.
        linger: Seconds to wait for more after the first note of a batch.
        on_recorded: Called after a commit with the message ids of the batch's dead letters; an error in it is logged.
        sweep: What is done every ``sweep_every`` seconds; by default abandoned replays are published again, silent
            ones are noted, successes count that came before their record, and what was kept long enough is dropped.
        care: What the sweep looks for.
        reader: Of raw messages.
    """

    def __init__(
        self,
        connection: Connection,
        queue: Queue,
        ledger: Ledger,
        *,
        batch: int = 500,
        linger: float = 0.05,
        on_recorded: Callable[[Sequence[str]], None] | None = None,
        sweep: Callable[[], object] | None = None,
        sweep_every: float = 5.0,
        care: Care | None = None,
        reader: NoteReader | None = None,
    ) -> None:
        self._template, self._queue, self._ledger = connection, queue, ledger
        self._batch, self._linger = batch, linger
        self._on_recorded = on_recorded
        self._sweep = sweep or self._look_after
        self._sweep_every = sweep_every
        self._care = care or Care()
        self._next_purge = 0.0
        self._reader = reader or NoteReader()
        self._next_sweep = 0.0
        self._broker = _Part("broker")
        self._store = _Part("ledger")

    def run(self, stop: threading.Event) -> None:
        """Record until ``stop`` is set; a part that is away is waited for."""
        errors = (*self._template.connection_errors, *self._template.channel_errors)
        while not stop.is_set():
            try:
                self._consume(stop)
            except errors as exc:
                stop.wait(self._broker.is_away(exc))

    def _consume(self, stop: threading.Event) -> None:
        """One connection's life."""
        with self._open() as intake:
            self._broker.is_back()
            while not stop.is_set():
                self._collect(intake, stop)
                if intake.waiting:
                    self._record(intake, stop)
                self._sweep_when_due()

    @contextmanager
    def _open(self) -> Iterator[Intake[_Read]]:
        connection = self._template.clone()
        try:
            connection.ensure_connection(
                max_retries=1, interval_start=0.1, interval_step=0, reraise_as_library_errors=False
            )
            intake = self._intake(connection)
            try:
                yield intake
            finally:
                intake.close()
        finally:
            connection.release()

    def _intake(self, connection: Connection) -> Intake[_Read]:
        if is_served(connection.default_channel):
            return RedisIntake(connection, self._queue, prefetch=self._batch, read=self._read, unreadable=_Unreadable)
        return ConsumerIntake(connection, self._queue, prefetch=2 * self._batch, read=self._read)

    def _collect(self, intake: Intake[_Read], stop: threading.Event) -> None:
        """Wait for a first message, then for more until the batch is full or has lingered."""
        had_any = bool(intake.waiting)
        deadline = time.monotonic() + (self._linger if had_any else GLANCE)
        while len(intake.waiting) < self._batch and not stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0 or not intake.drain(left):
                return
            if not had_any:
                had_any, deadline = True, time.monotonic() + self._linger

    def _record(self, intake: Intake[_Read], stop: threading.Event) -> None:
        """Store the oldest messages, wait for the ledger if need be, acknowledge."""
        received = first_of(intake.waiting, self._batch)
        while True:
            try:
                self._store_all(received)
            except LedgerUnavailable as exc:
                intake.breathe(self._store.is_away(exc), stop)
                if stop.is_set():
                    return
            else:
                break
        self._store.is_back()
        intake.acknowledge(len(received))
        self._tell(received)

    def _store_all(self, received: Sequence[_Read]) -> None:
        notes = [item for item in received if not isinstance(item, _Unreadable)]
        if notes and (parked := self._ledger.ingest(notes).parked):
            logger.warning("recorder.parked notes=%d", parked)
        for item in received:
            if isinstance(item, _Unreadable):
                self._ledger.park(item.payload, item.error)

    def _tell(self, received: Sequence[_Read]) -> None:
        ids = [item.message_id for item in received if isinstance(item, DeadLetter)]
        if self._on_recorded is None or not ids:
            return
        try:
            self._on_recorded(ids)
        except Exception:
            logger.exception("recorder.listener_failed messages=%d", len(ids))

    def _read(self, payload: Payload) -> _Read:
        """What a raw message says."""
        try:
            return self._reader.read(payload)
        except Exception as exc:  # noqa: BLE001 - whatever a foreign message does, it is kept and stops no other
            logger.warning("recorder.unreadable bytes=%d", len(payload.body))
            return _Unreadable(payload, self._reader.reason(exc))

    def _sweep_when_due(self) -> None:
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + self._sweep_every
        try:
            self._sweep()
        except LedgerUnavailable as exc:
            self._store.is_away(exc)
        except Exception:
            logger.exception("recorder.sweep_failed")
        else:
            self._store.is_back()

    def _look_after(self) -> None:
        self._ledger.heed_early_successes()
        with Replayer(self._template.clone, self._ledger) as replayer:
            replayer.sweep()
        unconfirmed = self._ledger.flag_unconfirmed(after=self._care.unconfirmed_after)
        if unconfirmed:
            logger.warning("recorder.unconfirmed replays=%d", unconfirmed)
        self._purge_when_due()

    def _purge_when_due(self) -> None:
        """Drop what was kept long enough, for a second at most; what is left goes with the next sweep."""
        start = time.monotonic()
        while self._next_purge <= time.monotonic() < start + _PURGE_FOR:
            purged = self._ledger.purge(self._care.retention)
            if purged.records or purged.bodies:
                logger.info("recorder.purged records=%d bodies=%d", purged.records, purged.bodies)
            if purged.is_done:
                self._next_purge = time.monotonic() + _PURGE_EVERY
                for soon in self._ledger.tell_of_purge(self._care.retention):
                    logger.warning("recorder.purge_soon days=%d records=%d", soon.days, soon.records)


class _Part:
    """Whether a part is away: one line when it goes, one when it comes back, and growing pauses between."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pause = 0.0

    def is_away(self, exc: BaseException) -> float:
        """Note it; returns the seconds to wait before asking again."""
        if not self._pause:
            logger.warning("recorder.%s_away waiting for it: %s", self._name, _one_line(exc))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE) or _FIRST_PAUSE
        return self._pause

    def is_back(self) -> None:
        """Note it."""
        if self._pause:
            logger.warning("recorder.%s_back", self._name)
        self._pause = 0.0


def _one_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0][:300] if lines else type(exc).__name__
