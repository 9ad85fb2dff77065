"""The ledger [sqlalchemy]: every question and every change, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from fluxora_tasks.clock import Clock, SystemClock
from fluxora_tasks.deadletter.envelope import DeadLetter, Note, Payload, content_type_of, encode
from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.ledger import aliases, auditing, claims, early, groups, merging, parking, search, stories
from fluxora_tasks.ledger.auditing import TrailQuery
from fluxora_tasks.ledger.database import reading, writing
from fluxora_tasks.ledger.filters import EVERYTHING, Filter, frozen
from fluxora_tasks.ledger.ingest import IngestReport, ingest
from fluxora_tasks.ledger.models import AuditEventRow, OutboxRow
from fluxora_tasks.ledger.records import (
    Claim,
    FailedImport,
    Group,
    GroupPage,
    LetterPage,
    Requester,
    RunningReplay,
    Story,
    TrailEntry,
    Verdict,
)
from fluxora_tasks.ledger.retention import (
    TOLD_BEFORE,
    Purged,
    PurgeSoon,
    Retention,
    empty_records,
    purge_events,
    purge_records,
    purge_tombstones,
    tell_of_purge,
)
from fluxora_tasks.ledger.rows import (
    UnstorableNote,
    check_letter,
    check_outcome,
)
from fluxora_tasks.ledger.standing import Status

#: Notes and bytes of bodies per transaction, at most (one note more); bounds one statement.
BATCH: Final = 500
BATCH_BYTES: Final = 16 * 1024 * 1024

#: Claims taken up again at once.
_RETAKEN: Final = 100


class Ledger:
    """What died, and what became of it. Safe for threads.

    Args:
        engine: Of ``open_engine``.
        replay_cap: Replays that may fail before a record is quarantined.
        clock: Times of what the ledger notes itself.
    """

    def __init__(self, engine: Engine, *, replay_cap: int = 3, clock: Clock | None = None) -> None:
        self._engine = engine
        self._cap = replay_cap
        self._clock = clock or SystemClock()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # ------------------------------------------------------------------------------------------ record

    def ingest(self, notes: Sequence[Note]) -> IngestReport:
        """
        Record notes; again, twice, or in another order makes no difference.

        One that cannot be stored is parked in failed_imports and stops no other.

        Raises:
            LedgerUnavailable: nothing of the batch that failed is stored; earlier batches are.
        """
        report = IngestReport()
        for batch in _batches(notes):
            report += self._ingest_batch(batch)
        return report

    def heed_early_successes(self) -> int:
        """Let successes count that came while their record was being made; forget old ones; returns how many counted.

        Raises:
            LedgerUnavailable: to be done again.
        """
        now = self._clock.now()
        with writing(self._engine) as connection:
            early.forget(connection, now)
            notes = early.unheeded(connection, now)
            if notes:
                ingest(connection, notes, now=now, cap=self._cap)
        return len(notes)

    def park(self, payload: Payload, error: str) -> None:
        """Keep a message that cannot become a record, with its bytes.

        Raises:
            LedgerUnavailable: it is not kept.
        """
        with writing(self._engine) as connection:
            parking.park(connection, payload, error, self._clock.now())

    def try_import(self, seq: int, reader: parking.Reader) -> str | None:
        """Make a record of a parked message after all.

        Args:
            reader: Of the message; and of what is wrong with it.

        Returns:
            Why that failed, or ``None``; then it is parked no more.

        Raises:
            LedgerUnavailable: to be done again.
        """
        with reading(self._engine) as connection:
            payload = parking.payload(connection, seq)
        if payload is None:
            return "no message of this number is parked"
        error = self._imported(payload, reader)
        with writing(self._engine) as connection:
            if error is None:
                parking.forget(connection, seq)
            else:
                parking.failed_again(connection, seq, error)
        return error

    def _imported(self, payload: Payload, reader: parking.Reader) -> str | None:
        try:
            note = reader.read(payload)
            _check(note)
            with writing(self._engine) as connection:
                ingest(connection, [note], now=self._clock.now(), cap=self._cap)
        except LedgerUnavailable:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a foreign message does, it stays parked
            return reader.reason(exc)
        return None

    def failed_imports(self, *, after: int = 0, limit: int = 50) -> Sequence[FailedImport]:
        """Parked messages, oldest first, after number ``after``."""
        with reading(self._engine) as connection:
            return parking.page(connection, after=after, limit=limit)

    # -------------------------------------------------------------------------------------------- ask

    def find(self, wanted: Filter = EVERYTHING, *, limit: int = 50, cursor: str | None = None) -> LetterPage:
        """One page of records, newest failure first.

        Raises:
            ConfigurationError: the cursor is none of ours.
        """
        with reading(self._engine) as connection:
            meant = aliases.expanded(connection, frozen(wanted, self._clock.now()))
            return search.page(connection, meant, limit=limit, cursor=cursor)

    def select(self, wanted: Filter, *, limit: int, status: Status = Status.PENDING) -> list[str]:
        """Ids an action may take, oldest first; without a ``status`` term only those of ``status``."""
        with reading(self._engine) as connection:
            meant = aliases.expanded(connection, frozen(wanted, self._clock.now()))
            return search.ids_matching(connection, meant, limit=limit, status=status)

    def story(self, dead_id: str) -> Story | None:
        """One record, whole."""
        with reading(self._engine) as connection:
            return stories.story(connection, dead_id)

    def ids_starting_with(self, prefix: str) -> list[str]:
        """The id itself, or at most two that begin so."""
        with reading(self._engine) as connection:
            return search.ids_starting_with(connection, prefix)

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are records."""
        with reading(self._engine) as connection:
            return search.existing(connection, ids)

    def known_messages(self, message_ids: Iterable[str]) -> set[str]:
        """Those of the message ids that a record stands for."""
        with reading(self._engine) as connection:
            return search.known_messages(connection, message_ids)

    def status_counts(self) -> dict[str, int]:
        """Records per status."""
        with reading(self._engine) as connection:
            return search.status_counts(connection)

    def failed_import_count(self) -> int:
        """Messages that could not become a record."""
        with reading(self._engine) as connection:
            return parking.count(connection)

    def groups(self, states: Sequence[str] = (), *, limit: int = 50, cursor: str | None = None) -> GroupPage:
        """One page of groups in these states, newest failure first.

        Raises:
            ConfigurationError: the cursor is none of ours.
        """
        with reading(self._engine) as connection:
            return groups.page(connection, states, limit=limit, cursor=cursor)

    def groups_starting_with(self, prefix: str) -> list[Group]:
        """The group of this id, or at most two whose ids begin so; an alias leads to its head."""
        with reading(self._engine) as connection:
            return groups.starting_with(connection, prefix)

    def group_ids_starting_with(self, prefix: str) -> list[str]:
        """The id itself, also of an alias, or at most two that begin so."""
        with reading(self._engine) as connection:
            return aliases.ids_starting_with(connection, prefix, limit=2, of_heads=False)

    def trail(self, query: TrailQuery, *, before: int | None = None, limit: int = 50) -> Sequence[TrailEntry]:
        """Entries of the audit, newest first, older than entry ``before``."""
        with reading(self._engine) as connection:
            return auditing.newest(connection, query, before=before, limit=limit)

    def trail_onwards(self, query: TrailQuery, *, after: int = 0, limit: int = 1000) -> Sequence[TrailEntry]:
        """Entries of the audit, oldest first, newer than entry ``after``."""
        with reading(self._engine) as connection:
            return auditing.oldest(connection, query, after=after, limit=limit)

    # ----------------------------------------------------------------------------------------- change

    def claim(self, ids: Sequence[str], by: Requester, *, operation_id: str | None = None) -> list[Verdict]:
        """Take the right to replay records, at most 500 distinct ones; one verdict per id."""
        with writing(self._engine) as connection:
            return claims.claim(connection, ids, by, now=self._clock.now(), operation_id=operation_id)

    def mark_issued(self, item_ids: Sequence[str]) -> None:
        """Note that the broker has the messages of claims."""
        with writing(self._engine) as connection:
            claims.mark_issued(connection, item_ids, now=self._clock.now())

    def release(self, item_id: str, error: str) -> str | None:
        """Give a claim back that could not be published; returns the record's status now."""
        with writing(self._engine) as connection:
            return claims.release(connection, item_id, error, now=self._clock.now())

    def retake(self, *, older_than: float) -> list[Claim]:
        """Claims that nobody marked as issued for ``older_than`` seconds, to be published again."""
        now = self._clock.now()
        before = now - timedelta(seconds=older_than)
        with writing(self._engine) as connection:
            return claims.retake(connection, before=before, now=now, limit=_RETAKEN)

    def resolve(self, ids: Sequence[str], by: Requester, *, operation_id: str | None = None) -> list[Verdict]:
        """Mark records as resolved by hand, at most 500 distinct ones."""
        return self._decide(ids, claims.RESOLVE, by, operation_id)

    def discard(self, ids: Sequence[str], by: Requester, *, operation_id: str | None = None) -> list[Verdict]:
        """Mark records as not wanted, at most 500 distinct ones."""
        return self._decide(ids, claims.DISCARD, by, operation_id)

    def restore(self, ids: Sequence[str], by: Requester, *, operation_id: str | None = None) -> list[Verdict]:
        """Take back what an operator resolved or discarded, at most 500 distinct ones."""
        return self._decide(ids, claims.RESTORE, by, operation_id)

    def readmit(self, ids: Sequence[str], by: Requester, *, operation_id: str | None = None) -> list[Verdict]:
        """Take records out of quarantine, at most 500 distinct ones; the count of their replays begins anew."""
        return self._decide(ids, claims.READMIT, by, operation_id)

    def running_replay(self, dead_id: str) -> RunningReplay | None:
        """The replay of a record that has no outcome yet."""
        with reading(self._engine) as connection:
            return stories.running_replay(connection, dead_id)

    def lose(self, dead_id: str, replay_no: int, by: Requester) -> Verdict:
        """Give up a replay that nobody has heard of; the workers' gate for it must be closed before."""
        with writing(self._engine) as connection:
            return claims.lose(connection, dead_id, replay_no, by, now=self._clock.now(), cap=self._cap)

    def reveal(self, dead_id: str, by: Requester) -> Payload | None:
        """The message of a record as it was received; who asked stands in the audit before it is handed out."""
        with writing(self._engine) as connection:
            return claims.reveal(connection, dead_id, by, now=self._clock.now())

    def set_group_state(self, ids: Sequence[str], state: str, by: Requester) -> list[Verdict]:
        """Say of groups that they are acknowledged, ignored, resolved or open again."""
        with writing(self._engine) as connection:
            return groups.set_state(connection, ids, state, by, now=self._clock.now())

    def merge_groups(self, ids: Sequence[str], into: str, by: Requester) -> list[Verdict]:
        """Say that groups are one with another, which shows and counts their failures from now on.

        Raises:
            ConflictError: the other one is gone, or was merged itself meanwhile.
        """
        with writing(self._engine) as connection:
            return merging.merge(connection, ids, into, by, now=self._clock.now())

    def unmerge_groups(self, ids: Sequence[str], by: Requester) -> list[Verdict]:
        """Take that back."""
        with writing(self._engine) as connection:
            return merging.unmerge(connection, ids, by, now=self._clock.now())

    def flag_unconfirmed(self, *, after: float) -> int:
        """Note replays that nobody has heard of for ``after`` seconds; returns how many are new."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            return claims.flag_unconfirmed(connection, before=now - timedelta(seconds=after), now=now)

    def purge(self, retention: Retention) -> Purged:
        """One round of retention: a batch of everything that has been kept long enough, each in a transaction.

        Raises:
            LedgerUnavailable: to be done again.
        """
        now, total = self._clock.now(), Purged()
        for keep, drop in _rounds(retention):
            if keep is not None:
                with writing(self._engine) as connection:
                    total += drop(connection, now - keep, now)
        return total

    def tell_of_purge(self, retention: Retention) -> list[PurgeSoon]:
        """Tell, once a day, of unresolved records that go within a week or a day.

        Raises:
            LedgerUnavailable: to be done again.
        """
        if retention.unresolved is None:
            return []
        now, told = self._clock.now(), []
        for days in TOLD_BEFORE:
            with writing(self._engine) as connection:
                soon = tell_of_purge(connection, retention.unresolved, days, now)
            told += [soon] if soon else []
        return told

    def _decide(
        self, ids: Sequence[str], decision: claims.Decision, by: Requester, operation_id: str | None
    ) -> list[Verdict]:
        with writing(self._engine) as connection:
            return claims.decide(connection, ids, decision, by, now=self._clock.now(), operation_id=operation_id)

    # ------------------------------------------------------------------------------------------ inside

    def _ingest_batch(self, notes: Sequence[Note]) -> IngestReport:
        storables, report = [], IngestReport()
        for note in notes:
            try:
                _check(note)
            except UnstorableNote as exc:
                report += self._park_note(note, str(exc))
            else:
                storables.append(note)
        return report + self._ingest_halving(storables) if storables else report

    def _ingest_halving(self, notes: Sequence[Note]) -> IngestReport:
        """All in one transaction; if that cannot be done, halve until the note in the way stands alone."""
        try:
            with writing(self._engine) as connection:
                return ingest(connection, notes, now=self._clock.now(), cap=self._cap)
        except LedgerUnavailable:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever one note does, it stops no other
            if len(notes) == 1:
                return self._park_note(notes[0], parking.reason(exc))
        middle = len(notes) // 2
        return self._ingest_halving(notes[:middle]) + self._ingest_halving(notes[middle:])

    def _park_note(self, note: Note, error: str) -> IngestReport:
        try:
            body = encode(note)
        except (ValueError, TypeError, AttributeError, RecursionError):
            body = repr(note).encode("utf-8", "backslashreplace")
        self.park(Payload(body, content_type_of(note), "utf-8"), error)
        return IngestReport(parked=1)


_Drop = Callable[[Connection, datetime, datetime], Purged]


def _rounds(retention: Retention) -> Iterator[tuple[timedelta | None, _Drop]]:
    """How long what is kept, and what drops it."""

    def records(status: Status) -> _Drop:
        return lambda connection, before, now: purge_records(connection, status, before, now)

    yield retention.resolved, records(Status.RESOLVED)
    yield retention.discarded, records(Status.DISCARDED)
    yield retention.unresolved, records(Status.PENDING)
    yield retention.unresolved, records(Status.FAILED)
    yield retention.resolved_bodies, empty_records
    yield retention.audit, lambda connection, before, _now: purge_events(connection, AuditEventRow, before)
    yield retention.audit, lambda connection, before, _now: purge_tombstones(connection, before)
    yield retention.events, lambda connection, before, _now: purge_events(connection, OutboxRow, before)


def _batches(notes: Sequence[Note]) -> Iterator[Sequence[Note]]:
    start = size = 0
    for place, note in enumerate(notes):
        if place - start == BATCH or size > BATCH_BYTES:
            yield notes[start:place]
            start, size = place, 0
        if isinstance(note, DeadLetter):
            size += len(note.payload.body)
    if start < len(notes):
        yield notes[start:]


def _check(note: Note) -> None:
    if isinstance(note, DeadLetter):
        check_letter(note)
    else:
        check_outcome(note)
