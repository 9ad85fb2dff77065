"""A batch of notes, folded into what is to be written (pure).

What a record shows follows its newest failure, what a replay sends follows its first, by their own times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Note
from fluxora_tasks.ledger.audits import Columns, audit_columns
from fluxora_tasks.ledger.rows import (
    LABEL_LENGTH,
    Entry,
    entry_of,
    kept_columns,
    shown_columns,
    storable,
)
from fluxora_tasks.ledger.standing import Standing, Status, failed, failure_of, first_failed, succeeded


@dataclass(slots=True)
class News:
    """What one batch says about one record: failures in their order, and successes."""

    entries: list[Entry] = field(default_factory=list)
    successes: list[Confirmation] = field(default_factory=list)


class Known(Protocol):
    """The columns of a known record that news may change."""

    id: Any
    version: Any
    kept_key: Any
    failures: Any
    attempts: Any
    first_failed_at: Any
    last_failed_at: Any


@dataclass(frozen=True, slots=True)
class Folded:
    """What is to be written about one record.

    Attributes:
        columns: Of its row; empty where nothing changed.
        audits: Rows of its changes of status.
    """

    columns: Columns
    audits: Sequence[Columns]


def by_record(notes: Iterable[Note]) -> dict[str, News]:
    """News per record, sorted by id, so that several recorders lock rows in the same order."""
    found: dict[str, News] = defaultdict(News)
    seen: set[str] = set()
    for note in notes:
        if isinstance(note, Confirmation):
            found[note.dead_id].successes.append(note)
        elif isinstance(note, DeadLetter) and note.failure_id not in seen:
            seen.add(note.failure_id)
            found[note.dead_id].entries.append(entry_of(note))
    for news in found.values():
        if len(news.entries) > 1:
            news.entries.sort(key=lambda entry: entry.key)
    return dict(sorted(found.items()))


def new_record(dead_id: str, news: News, now: datetime, cap: int) -> Folded:
    """A record nobody knows yet; the news has at least one failure."""
    first, newest = news.entries[0], news.entries[-1]
    standing = first_failed(failure_of(first.letter, first.key), cap)
    audits = [_failure_audit(dead_id, None, standing, first.letter, now)]
    standing = _standing_after(standing, News(news.entries[1:], news.successes), dead_id, now, cap, audits)
    columns = {
        "id": dead_id,
        "version": 1,
        "status_at": now,
        "recorded_at": now,
        **_counters(news.entries),
        **kept_columns(first),
        **shown_columns(newest),
        **standing_columns(standing),
    }
    return Folded(columns, audits)


def known_record(row: Known, before: Standing, news: News, now: datetime, cap: int) -> Folded:
    """What news changes in a record; its failures are really new ones."""
    audits: list[Columns] = []
    after = _standing_after(before, news, row.id, now, cap, audits)
    if after == before and not news.entries:
        return Folded({}, ())
    columns = {"version": row.version + 1, **standing_columns(after)}
    if after.status is not before.status:
        columns["status_at"] = now
    if news.entries:
        columns |= _added_counters(row, news.entries)
        if after.shown_key != before.shown_key:
            columns |= shown_columns(news.entries[-1])
        if news.entries[0].key < row.kept_key:
            columns |= kept_columns(news.entries[0])
    return Folded(columns, audits)


def standing_columns(standing: Standing) -> Columns:
    """The columns a standing is stored in; what follows the newest failure is left out."""
    return {
        "status": standing.status.value,
        "replay_no": standing.replay_no,
        "replays": standing.replays,
        "confirmed_no": standing.confirmed_no,
        "decided": standing.decided,
        "suspect": standing.suspect,
        "conflict": standing.conflict,
        "forgiven": standing.forgiven,
    }


def _standing_after(
    standing: Standing, news: News, dead_id: str, now: datetime, cap: int, audits: list[Columns]
) -> Standing:
    """Step by step, with an audit row for each change of status."""
    for entry in news.entries:
        before, standing = standing, failed(standing, failure_of(entry.letter, entry.key), cap)
        if standing.status is not before.status:
            audits.append(_failure_audit(dead_id, before.status, standing, entry.letter, now))
    for success in news.successes:
        before, standing = standing, succeeded(standing, success.replay_no)
        if standing.status is not before.status:
            audits.append(_success_audit(dead_id, before.status, standing, success, now))
    return standing


_FAILURE_EVENTS: Final = {
    Status.FAILED: "quarantined",
    Status.DISCARDED: "discarded",
    Status.RESOLVED: "resolved",
}


#: What is said of a run that the gate of replays did not let in.
_UNASKED: Final = "nobody could tell whether it was the only copy (gate_unavailable)"


def _failure_audit(dead_id: str, before: Status | None, after: Standing, letter: DeadLetter, now: datetime) -> Columns:
    event = _FAILURE_EVENTS.get(after.status)
    if event is None:
        event = "failed" if before in (None, Status.RETRYING) else "reopened"
    detail = "; ".join(filter(None, (_why(after, letter), _UNASKED if letter.gate_unavailable else "")))
    return audit_columns(now, dead_id, event, before, after, actor="worker", detail=detail)


def _why(after: Standing, letter: DeadLetter) -> str:
    if after.status is Status.RESOLVED:
        return f"replay {after.replay_no} had succeeded as well"
    if letter.kind is Kind.REVOKED:
        return "revoked by an operator of the workers"
    if after.status is Status.FAILED:
        return "suspected poison" if after.suspect else f"failed after {after.replays} replays"
    return ""


def _success_audit(dead_id: str, before: Status, after: Standing, success: Confirmation, now: datetime) -> Columns:
    who = f" on {storable(success.worker, LABEL_LENGTH)}" if success.worker else ""
    what = f"replay {success.replay_no}" if success.replay_no else "a second delivery"
    also = "; another copy had failed" if after.conflict else ""
    also += f"; {_UNASKED}" if success.gate_unavailable else ""
    return audit_columns(now, dead_id, "resolved", before, after, detail=f"{what} succeeded{who}{also}")


def _counters(entries: Sequence[Entry]) -> Columns:
    letters = [entry.letter for entry in entries]
    return {
        "failures": len(letters),
        "attempts": sum(letter.attempts for letter in letters),
        "first_failed_at": min(min(letter.failed_at, letter.first_failed_at or letter.failed_at) for letter in letters),
        "last_failed_at": max(letter.failed_at for letter in letters),
    }


def _added_counters(row: Known, entries: Sequence[Entry]) -> Columns:
    added = _counters(entries)
    return {
        "failures": row.failures + added["failures"],
        "attempts": row.attempts + added["attempts"],
        "first_failed_at": min(row.first_failed_at, added["first_failed_at"]),
        "last_failed_at": max(row.last_failed_at, added["last_failed_at"]),
    }
