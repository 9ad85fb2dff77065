"""A batch of notes into the ledger, in one transaction [sqlalchemy].

Idempotent and independent of order: the id of a failure is a primary key, and what a record shows follows from
what is known, not from what came first. A record's row is locked before its failures are looked at, so several
recorders may work at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Note, Progress
from fluxora_tasks.ledger import early, groups, trail
from fluxora_tasks.ledger.audits import Columns
from fluxora_tasks.ledger.fold import Folded, News, by_record, known_record, new_record
from fluxora_tasks.ledger.models import (
    AnyRow,
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    ReplayItemRow,
    table_of,
)
from fluxora_tasks.ledger.retelling import retell
from fluxora_tasks.ledger.rows import Entry, attempt_columns
from fluxora_tasks.ledger.standing import Standing, Status
from fluxora_tasks.ledger.statements import EachRow, among, insert_new, update_all
from fluxora_tasks.ledger.views import view_columns

#: Failures per record whose texts are kept: the first, the last.
KEPT_FIRST: Final = 5
KEPT_LAST: Final = 20

_row = DeadLetterRow

#: The columns ``standing_of`` reads, and the group that the record is counted in.
STANDING: Final = (
    *(_row.status, _row.shown_key, _row.kind, _row.replay_no, _row.replays),
    *(_row.confirmed_no, _row.decided, _row.suspect, _row.conflict, _row.forgiven, _row.group_id),
)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a batch changed.

    Attributes:
        recorded: New records.
        failures: New failures, the first of a record included.
        resolved: Records that became RESOLVED.
        early: Confirmations of a record nobody knows, or not yet; they are remembered.
        parked: Notes that could not become a record; they stand in failed_imports.
    """

    recorded: int = 0
    failures: int = 0
    resolved: int = 0
    early: int = 0
    parked: int = 0

    def __add__(self, other: IngestReport) -> IngestReport:
        return IngestReport(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True)
class _Writes:
    """Rows to write once all is decided."""

    attempts: list[Columns] = field(default_factory=list)
    audits: list[Columns] = field(default_factory=list)
    updates: dict[frozenset[str], list[Columns]] = field(default_factory=lambda: defaultdict(list))
    long_stories: list[str] = field(default_factory=list)
    views: list[Columns] = field(default_factory=list)
    retold: dict[str, Entry | None] = field(default_factory=dict)
    groups: groups.Changes = field(default_factory=groups.Changes)


def ingest(connection: Connection, notes: Sequence[Note], *, now: datetime, cap: int) -> IngestReport:
    """Fold the notes into the ledger; the caller commits."""
    news = by_record(notes)
    early.recall(connection, news)
    writes = _Writes()
    recorded = _insert_records(connection, news, writes, now, cap)
    known = {dead_id: item for dead_id, item in news.items() if dead_id not in recorded}
    rows = _locked(connection, known)
    fresh = _insert_attempts(connection, known)
    for dead_id, row in rows.items():
        entries = [entry for entry in known[dead_id].entries if entry.letter.failure_id in fresh]
        item = News(entries, known[dead_id].successes)
        _note_changes(writes, row, item, known_record(row, standing_of(row), item, now, cap))
    _write(connection, writes)
    _end_replays(connection, notes, now)
    groups.apply(connection, writes.groups, now)
    successes = [note for dead_id, item in known.items() if dead_id not in rows for note in item.successes]
    early.remember(connection, successes, now)
    return IngestReport(
        recorded=len(recorded),
        failures=len(writes.attempts) + len(fresh),
        resolved=sum(audit["to_status"] == Status.RESOLVED for audit in writes.audits),
        early=len(successes),
    )


def standing_of(row: AnyRow) -> Standing:
    """The standing as stored."""
    return Standing(
        status=Status(row.status),
        shown_key=row.shown_key,
        kind=Kind(row.kind),
        replay_no=row.replay_no,
        replays=row.replays,
        confirmed_no=row.confirmed_no,
        decided=row.decided,
        suspect=row.suspect,
        conflict=row.conflict,
        forgiven=row.forgiven,
    )


def lock_items(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Lock rows of replays, always in the same order, so that two who need several never wait for each other."""
    item = ReplayItemRow
    order = (item.dead_letter_id, item.replay_no)
    connection.execute(select(item.id).where(condition).order_by(*order).with_for_update()).all()


def _insert_records(
    connection: Connection, news: Mapping[str, News], writes: _Writes, now: datetime, cap: int
) -> set[str]:
    """Insert the records nobody knows yet; returns their ids."""
    folded = {dead_id: new_record(dead_id, item, now, cap) for dead_id, item in news.items() if item.entries}
    recorded = insert_new(connection, table_of(_row), "id", [record.columns for record in folded.values()])
    for dead_id, record in folded.items():
        if dead_id in recorded:
            _note_record(writes, dead_id, news[dead_id].entries, record)
    return recorded


def _note_record(writes: _Writes, dead_id: str, entries: Sequence[Entry], record: Folded) -> None:
    columns = record.columns
    writes.attempts.extend(map(attempt_columns, entries))
    writes.audits.extend(record.audits)
    writes.views.append(view_columns(dead_id, entries[0].letter.view, columns, columns))
    _note_length(writes, dead_id, columns)
    _note_places(writes, None, (columns["group_id"], Status(columns["status"])), entries)


def _note_changes(writes: _Writes, row: AnyRow, news: News, record: Folded) -> None:
    columns = record.columns
    if not columns:
        return
    writes.updates[frozenset(columns)].append({"id": row.id, **columns})
    writes.audits.extend(record.audits)
    _note_length(writes, row.id, columns)
    if "shown_key" in columns or "kept_key" in columns:
        writes.retold[row.id] = news.entries[0] if "kept_key" in columns else None
    before = (row.group_id, Status(row.status))
    _note_places(writes, before, (columns.get("group_id", row.group_id), Status(columns["status"])), news.entries)


def _note_places(writes: _Writes, before: groups.Place, after: groups.Place, entries: Iterable[Entry]) -> None:
    writes.groups.move(before, after)
    for entry in entries:
        writes.groups.failed(entry)


def _note_length(writes: _Writes, dead_id: str, columns: Columns) -> None:
    if columns.get("failures", 0) > KEPT_FIRST + KEPT_LAST:
        writes.long_stories.append(dead_id)


def _locked(connection: Connection, ids: Iterable[str]) -> dict[str, AnyRow]:
    """The rows of known records, locked until the transaction ends."""
    wanted = list(ids)
    if not wanted:
        return {}
    counted = (_row.failures, _row.attempts, _row.first_failed_at, _row.last_failed_at)
    query = (
        select(_row.id, _row.version, _row.kept_key, *counted, *STANDING)
        .where(among(connection, _row.id, wanted))
        .order_by(_row.id)
        .with_for_update()
    )
    return {found.id: found for found in connection.execute(query)}


def _insert_attempts(connection: Connection, known: Mapping[str, News]) -> set[str]:
    """Insert the failures of known records; returns the ids of those that are really new."""
    rows = [attempt_columns(entry) for item in known.values() for entry in item.entries]
    return insert_new(connection, table_of(DeadAttemptRow), "failure_id", rows)


def _write(connection: Connection, writes: _Writes) -> None:
    insert_new(connection, table_of(DeadAttemptRow), "failure_id", writes.attempts)
    insert_new(connection, table_of(DeadLetterViewRow), "dead_letter_id", writes.views)
    trail.write(connection, writes.audits)
    for rows in writes.updates.values():
        update_all(connection, table_of(_row), rows)
    if writes.long_stories:
        _trim(connection, writes.long_stories)
    if writes.retold:
        retell(connection, writes.retold)


def _trim(connection: Connection, ids: Sequence[str]) -> None:
    """Drop the texts of the failures in the middle of long stories."""
    row = DeadAttemptRow
    order = (row.replay_no, row.failed_at, row.failure_id)
    place = func.row_number().over(partition_by=row.dead_letter_id, order_by=order).label("place")
    total = func.count().over(partition_by=row.dead_letter_id).label("total")
    ranked = select(row.failure_id, row.trimmed, place, total).where(row.dead_letter_id.in_(ids)).subquery()
    middle = select(ranked.c.failure_id).where(
        ranked.c.place > KEPT_FIRST, ranked.c.place <= ranked.c.total - KEPT_LAST, ~ranked.c.trimmed
    )
    connection.execute(update(row).where(row.failure_id.in_(middle)).values(trimmed=True, message="", traceback=""))


def _end_replays(connection: Connection, notes: Sequence[Note], now: datetime) -> None:
    """Note the progress and the outcome of replays; a success stands over a failure of the same number."""
    ended: dict[type, set[tuple[str, int]]] = {DeadLetter: set(), Confirmation: set()}
    for note in notes:
        if note.replay_no and not isinstance(note, Progress):
            ended[type(note)].add((note.dead_id, note.replay_no))
    put_off = [note for note in notes if isinstance(note, Progress)]
    touched = {note.dead_id for note in notes if note.replay_no}
    if touched:
        lock_items(connection, among(connection, ReplayItemRow.dead_letter_id, touched))
    _put_off(connection, put_off)
    _end(connection, ended[DeadLetter] - ended[Confirmation], "failed", now)
    _end(connection, ended[Confirmation], "succeeded", now)


def _put_off(connection: Connection, notes: Iterable[Progress]) -> None:
    """Note that replays go on; the newest word counts."""
    newest = {(note.dead_id, note.replay_no): note for note in sorted(notes, key=lambda note: note.seen_at)}
    _PUT_OFF.run(
        connection,
        [
            {"of": note.dead_id, "number": note.replay_no, "seen": note.seen_at, "due": note.due_at}
            for note in newest.values()
        ],
    )


def _end(connection: Connection, ended: set[tuple[str, int]], outcome: str, now: datetime) -> None:
    """End the replays of these numbers, and older ones that the news has overtaken.

    Older ones are still active only where the ledger was restored from a backup.
    """
    numbers = [{"of": dead_id, "number": number, "ended": now, "outcome": outcome} for dead_id, number in sorted(ended)]
    _END.run(connection, numbers)
    _OVERTAKE.run(connection, numbers)


_item: Final = ReplayItemRow
_REPLAY: Final = {"of": _item.dead_letter_id.type, "number": _item.replay_no.type}
_ENDING: Final = {**_REPLAY, "ended": _item.ended_at.type, "outcome": _item.state.type}

_PUT_OFF: Final = EachRow(
    table_of(_item),
    {**_REPLAY, "seen": _item.progress_at.type, "due": _item.due_at.type},
    lambda given: (
        and_(
            *(_item.dead_letter_id == given["of"], _item.replay_no == given["number"], _item.active),
            or_(_item.progress_at.is_(None), _item.progress_at < given["seen"]),
        ),
        {"progress_at": given["seen"], "due_at": given["due"], "unconfirmed_at": None},
    ),
)
_END: Final = EachRow(
    table_of(_item),
    _ENDING,
    lambda given: (
        and_(
            *(_item.dead_letter_id == given["of"], _item.replay_no == given["number"]),
            *(_item.state != "succeeded", _item.state != given["outcome"]),
        ),
        {"state": given["outcome"], "active": False, "ended_at": given["ended"]},
    ),
)
_OVERTAKE: Final = EachRow(
    table_of(_item),
    _ENDING,
    lambda given: (
        and_(_item.dead_letter_id == given["of"], _item.replay_no < given["number"], _item.active),
        {"state": "failed", "active": False, "ended_at": given["ended"]},
    ),
)
