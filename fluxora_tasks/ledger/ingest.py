"""A batch of notes into the ledger, in one transaction [sqlalchemy].

Idempotent and independent of order: the key of a failure is a primary key, the standing of a record follows from
what is known, not from what came first. A record's row is locked before its failures are looked at, so several
recorders may work at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, update

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind
from fluxora_tasks.ledger.bulk import insert_all, insert_new
from fluxora_tasks.ledger.models import AnyRow, AuditEventRow, DeadAttemptRow, DeadLetterRow, ReplayItemRow, table_of
from fluxora_tasks.ledger.rows import LABEL_LENGTH, attempt_columns, kept_columns, key_of, shown_columns, storable
from fluxora_tasks.ledger.standing import Standing, Status, failed, failure_of, first_failed, succeeded

#: Failures per record whose texts are kept: the first, the last.
KEPT_FIRST: Final = 5
KEPT_LAST: Final = 20


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a batch changed.

    Attributes:
        recorded: New records.
        failures: New failures, the first of a record included.
        resolved: Records that became RESOLVED.
        dropped: Confirmations of a record nobody knows.
        parked: Notes that could not become a record; they stand in failed_imports.
    """

    recorded: int = 0
    failures: int = 0
    resolved: int = 0
    dropped: int = 0
    parked: int = 0

    def __add__(self, other: IngestReport) -> IngestReport:
        return IngestReport(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True)
class _News:
    """What one batch says about one record."""

    letters: list[DeadLetter] = field(default_factory=list)
    successes: list[Confirmation] = field(default_factory=list)


@dataclass(slots=True)
class _Writes:
    """Rows to write once all is decided."""

    updates: dict[frozenset[str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    attempts: list[dict[str, Any]] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)
    long_stories: list[str] = field(default_factory=list)


def ingest(
    connection: Connection, notes: Sequence[DeadLetter | Confirmation], *, now: datetime, cap: int
) -> IngestReport:
    """Fold the notes into the ledger; the caller commits."""
    news = _by_record(notes)
    writes = _Writes()
    recorded = _insert_new(connection, news, writes, now, cap)
    known = {dead_id: item for dead_id, item in news.items() if dead_id not in recorded}
    rows = _locked(connection, known)
    fresh = _insert_attempts(connection, [letter for item in known.values() for letter in item.letters])
    for dead_id, row in rows.items():
        letters = [letter for letter in known[dead_id].letters if letter.failure_id in fresh]
        _fold_known(writes, row, _News(letters, known[dead_id].successes), now, cap)
    _write(connection, writes)
    _end_replays(connection, notes, now)
    return IngestReport(
        recorded=len(recorded),
        failures=len(writes.attempts) + len(fresh),
        resolved=sum(row["to_status"] == Status.RESOLVED for row in writes.audits),
        dropped=sum(len(item.successes) for dead_id, item in known.items() if dead_id not in rows),
    )


def audit_columns(
    at: datetime, dead_letter_id: str, event: str, before: Status | None, after: Standing, **texts: str
) -> dict[str, Any]:
    """The row of one change of status; ``texts`` are actor, source, reason, detail."""
    return {
        "at": at,
        "dead_letter_id": dead_letter_id,
        "event": event,
        "from_status": before,
        "to_status": after.status,
        "replay_no": after.replay_no,
        "actor": "system",
        "source": "system",
        "reason": "",
        "detail": "",
        **texts,
    }


def standing_columns(standing: Standing) -> dict[str, Any]:
    """The columns a standing is stored in; what follows the newest failure is left out."""
    return {
        "status": standing.status.value,
        "replay_no": standing.replay_no,
        "replays": standing.replays,
        "confirmed_no": standing.confirmed_no,
        "decided": standing.decided,
        "suspect": standing.suspect,
        "conflict": standing.conflict,
    }


def standing_of(row: AnyRow) -> Standing:
    """The standing as stored."""
    return Standing(
        status=Status(row.status),
        shown_key=row.shown_key,
        kind=row.kind,
        replay_no=row.replay_no,
        replays=row.replays,
        confirmed_no=row.confirmed_no,
        decided=row.decided,
        suspect=row.suspect,
        conflict=row.conflict,
    )


#: The columns ``standing_of`` reads.
STANDING: Final = tuple(
    getattr(DeadLetterRow, name)
    for name in (
        *("status", "shown_key", "kind", "replay_no", "replays"),
        *("confirmed_no", "decided", "suspect", "conflict"),
    )
)


def _by_record(notes: Iterable[DeadLetter | Confirmation]) -> dict[str, _News]:
    """News per record, sorted, so that several recorders lock rows in the same order."""
    found: dict[str, _News] = defaultdict(_News)
    seen: set[str] = set()
    for note in notes:
        if isinstance(note, Confirmation):
            found[note.dead_id].successes.append(note)
        elif note.failure_id not in seen:
            seen.add(note.failure_id)
            found[note.dead_id].letters.append(note)
    for item in found.values():
        item.letters.sort(key=key_of)
    return dict(sorted(found.items()))


def _insert_new(connection: Connection, news: dict[str, _News], writes: _Writes, now: datetime, cap: int) -> set[str]:
    """Insert the records nobody knows yet; returns their ids."""
    folded = {dead_id: _new_record(dead_id, item, now, cap) for dead_id, item in news.items() if item.letters}
    recorded = insert_new(connection, table_of(DeadLetterRow), "id", [columns for columns, _ in folded.values()])
    for dead_id in recorded:
        writes.attempts.extend(map(attempt_columns, news[dead_id].letters))
        writes.audits.extend(folded[dead_id][1])
        if len(news[dead_id].letters) > KEPT_FIRST + KEPT_LAST:
            writes.long_stories.append(dead_id)
    return recorded


def _new_record(dead_id: str, news: _News, now: datetime, cap: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    first, newest = news.letters[0], news.letters[-1]
    standing = first_failed(failure_of(first, key_of(first)), cap)
    audits = [_failure_audit(dead_id, None, standing, first, now)]
    standing = _folded(standing, _News(news.letters[1:], news.successes), dead_id, now, cap, audits)
    columns = {
        "id": dead_id,
        "version": 1,
        "group_id": None,
        "status_at": now,
        "recorded_at": now,
        **_counters(news.letters),
        **kept_columns(first),
        **shown_columns(newest),
        **standing_columns(standing),
    }
    return columns, audits


def _fold_known(writes: _Writes, row: AnyRow, news: _News, now: datetime, cap: int) -> None:
    before = standing_of(row)
    after = _folded(before, news, row.id, now, cap, writes.audits)
    if after == before and not news.letters:
        return
    columns = {"version": row.version + 1, **standing_columns(after)}
    if after.status != before.status:
        columns["status_at"] = now
    if news.letters:
        columns |= _added_counters(row, news.letters)
        if after.shown_key != before.shown_key:
            columns |= shown_columns(news.letters[-1])
        if key_of(news.letters[0]) < row.kept_key:
            columns |= kept_columns(news.letters[0])
        if columns["failures"] > KEPT_FIRST + KEPT_LAST:
            writes.long_stories.append(row.id)
    writes.updates[frozenset(columns)].append({"dead_letter_id": row.id, **columns})


def _folded(
    standing: Standing, news: _News, dead_id: str, now: datetime, cap: int, audits: list[dict[str, Any]]
) -> Standing:
    for letter in news.letters:
        before, standing = standing, failed(standing, failure_of(letter, key_of(letter)), cap)
        if standing.status != before.status:
            audits.append(_failure_audit(dead_id, before.status, standing, letter, now))
    for success in news.successes:
        before, standing = standing, succeeded(standing, success.replay_no)
        if standing.status != before.status:
            audits.append(_success_audit(dead_id, before.status, standing, success, now))
    return standing


_FAILURE_EVENTS: Final = {
    Status.FAILED: "quarantined",
    Status.DISCARDED: "discarded",
    Status.RESOLVED: "resolved",
}


def _failure_audit(
    dead_id: str, before: Status | None, after: Standing, letter: DeadLetter, now: datetime
) -> dict[str, Any]:
    event = _FAILURE_EVENTS.get(after.status)
    if event is None:
        event = "failed" if before in (None, Status.RETRYING) else "reopened"
    detail = _why(after, letter)
    return audit_columns(now, dead_id, event, before, after, actor="worker", detail=detail)


def _why(after: Standing, letter: DeadLetter) -> str:
    if letter.kind is Kind.REVOKED:
        return "revoked by an operator of the workers"
    if after.status is Status.FAILED:
        return "suspected poison" if after.suspect else f"failed after {after.replays} replays"
    if after.status is Status.RESOLVED:
        return f"replay {after.replay_no} had succeeded as well"
    return ""


def _success_audit(
    dead_id: str, before: Status, after: Standing, success: Confirmation, now: datetime
) -> dict[str, Any]:
    who = f" on {storable(success.worker, LABEL_LENGTH)}" if success.worker else ""
    what = f"replay {success.replay_no}" if success.replay_no else "a second delivery"
    also = "; another copy had failed" if after.conflict else ""
    return audit_columns(now, dead_id, "resolved", before, after, detail=f"{what} succeeded{who}{also}")


def _counters(letters: Sequence[DeadLetter]) -> dict[str, Any]:
    return {
        "failures": len(letters),
        "attempts": sum(letter.attempts for letter in letters),
        "first_failed_at": min(min(letter.failed_at, letter.first_failed_at or letter.failed_at) for letter in letters),
        "last_failed_at": max(letter.failed_at for letter in letters),
    }


def _added_counters(row: AnyRow, letters: Sequence[DeadLetter]) -> dict[str, Any]:
    counters = _counters(letters)
    return {
        "failures": row.failures + counters["failures"],
        "attempts": row.attempts + counters["attempts"],
        "first_failed_at": min(row.first_failed_at, counters["first_failed_at"]),
        "last_failed_at": max(row.last_failed_at, counters["last_failed_at"]),
    }


def _locked(connection: Connection, ids: Iterable[str]) -> dict[str, AnyRow]:
    """The rows of known records, locked until the transaction ends."""
    wanted = list(ids)
    if not wanted:
        return {}
    row = DeadLetterRow
    query = (
        select(
            *(row.id, row.version, row.kept_key, row.failures, row.attempts),
            *(row.first_failed_at, row.last_failed_at),
            *STANDING,
        )
        .where(row.id.in_(wanted))
        .order_by(row.id)
        .with_for_update()
    )
    return {found.id: found for found in connection.execute(query)}


def _insert_attempts(connection: Connection, letters: Sequence[DeadLetter]) -> set[str]:
    """Insert the failures of known records; returns the keys of those that are really new."""
    rows = sorted(map(attempt_columns, letters), key=lambda row: str(row["failure_id"]))
    return insert_new(connection, table_of(DeadAttemptRow), "failure_id", rows)


def _write(connection: Connection, writes: _Writes) -> None:
    insert_new(connection, table_of(DeadAttemptRow), "failure_id", writes.attempts)
    insert_all(connection, table_of(AuditEventRow), writes.audits)
    for names, rows in writes.updates.items():
        statement = update(DeadLetterRow).where(DeadLetterRow.id == bindparam("dead_letter_id"))
        connection.execute(statement.values({name: bindparam(name) for name in names}), rows)
    if writes.long_stories:
        _trim(connection, writes.long_stories)


def _trim(connection: Connection, ids: Sequence[str]) -> None:
    """Drop the texts of the failures in the middle of long stories."""
    row = DeadAttemptRow
    ranked = (
        select(
            row.failure_id,
            row.trimmed,
            func.row_number()
            .over(partition_by=row.dead_letter_id, order_by=(row.replay_no, row.failed_at, row.failure_id))
            .label("place"),
            func.count().over(partition_by=row.dead_letter_id).label("total"),
        )
        .where(row.dead_letter_id.in_(ids))
        .subquery()
    )
    middle = select(ranked.c.failure_id).where(
        ranked.c.place > KEPT_FIRST, ranked.c.place <= ranked.c.total - KEPT_LAST, ~ranked.c.trimmed
    )
    connection.execute(update(row).where(row.failure_id.in_(middle)).values(trimmed=True, message="", traceback=""))


def _end_replays(connection: Connection, notes: Sequence[DeadLetter | Confirmation], now: datetime) -> None:
    """Note the outcome of replays; a success stands over a failure of the same number.

    News of a newer replay than the claimed one (a ledger restored from a backup) ends that one too.
    """
    failures = {(n.dead_id, n.replay_no) for n in notes if isinstance(n, DeadLetter) and n.replay_no}
    successes = {(n.dead_id, n.replay_no) for n in notes if isinstance(n, Confirmation) and n.replay_no}
    row = ReplayItemRow
    overtaken = (
        update(row)
        .where(row.dead_letter_id == bindparam("dead_id"), row.replay_no < bindparam("number"), row.active)
        .values(state="failed", active=False, ended_at=now)
    )
    for outcome, ended, over in (
        ("failed", failures - successes, ("claimed", "issued", "aborted")),
        ("succeeded", successes, ("claimed", "issued", "aborted", "failed")),
    ):
        if not ended:
            continue
        statement = (
            update(row)
            .where(
                row.dead_letter_id == bindparam("dead_id"),
                row.replay_no == bindparam("number"),
                row.state.in_(over),
            )
            .values(state=outcome, active=False, ended_at=now)
        )
        numbers = [{"dead_id": dead_id, "number": number} for dead_id, number in sorted(ended)]
        connection.execute(statement, numbers)
        connection.execute(overtaken, numbers)
