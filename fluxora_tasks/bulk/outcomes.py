"""What became of the records of an operation, and how that counts (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fluxora_tasks.bulk.operation import Kind, Outcome
from fluxora_tasks.bulk.pacing import Ended
from fluxora_tasks.ledger.records import Verdict
from fluxora_tasks.ledger.rows import ID_LENGTH, storable
from fluxora_tasks.ledger.standing import OPEN, Status

#: Characters of a line about one record.
_LINE: Final = 500


@dataclass(frozen=True, slots=True)
class Became:
    """What became of one record; the fields are columns of its item."""

    outcome: str
    why: str = ""
    replay_no: int | None = None
    new_group_id: str | None = None
    detail: str = ""


@dataclass(slots=True)
class Verdicts:
    """What became of some records, by id."""

    rows: dict[str, Became] = field(default_factory=dict)

    @property
    def skipped(self) -> set[str]:
        """Records that are left alone."""
        return {dead_id for dead_id, row in self.rows.items() if row.outcome == Outcome.SKIPPED}

    def mark(self, dead_id: str, outcome: Outcome, **columns: Any) -> None:
        """Note an outcome."""
        self.rows[dead_id] = Became(outcome.value, **columns)

    def skip(self, dead_id: str, why: str, detail: str) -> None:
        """Note that a record is left alone."""
        self.mark(dead_id, Outcome.SKIPPED, why=why, detail=detail)

    def add(self, answers: Sequence[Verdict]) -> None:
        """Note what the ledger refused."""
        for answer in answers:
            if answer.outcome != "done":
                why = {"conflict": "already_replaying", "unknown": "unknown"}.get(answer.outcome, "state_changed")
                self.skip(answer.id, why, answer.detail)


def reason_to_skip(kind: Kind, row: Any, *, cutoff: datetime, takes_quarantined: bool) -> tuple[str, str]:
    """Why a record cannot be taken as it stands, where the ledger would not say it so; empty: it may be."""
    if row is None:
        return "unknown", ""
    if kind is Kind.RESTORE:
        return "", ""
    if row.status == Status.FAILED and not takes_quarantined:
        return "quarantined", "it was quarantined since it was listed"
    if row.status in OPEN and row.last_failed_at > cutoff:
        return "state_changed", "it failed again since the plan"
    if kind is Kind.REPLAY and row.status in OPEN and not row.queue:
        return "no_queue", "nobody knows which queue it came from"
    return "", ""


def settled(row: Any, verdicts: Verdicts) -> Ended | None:
    """
    Note what a replay came to; returns how that counts, ``None``: not at all.

    Args:
        row: Its item, its replay (or none), and its record as it stands now (or none).
    """
    dead_id, number = row.dead_letter_id, row.replay_no
    if row.state == "succeeded":
        verdicts.mark(dead_id, Outcome.SUCCEEDED, replay_no=number)
        return Ended(is_success=True)
    if row.state == "failed":
        return _failed_again(row, verdicts)
    if row.state == "aborted":
        verdicts.mark(dead_id, Outcome.PUBLISH_FAILED, replay_no=number, detail=row.error or "")
        return Ended(is_success=False)
    if row.state == "lost":
        detail = "an operator declared the replay lost"
        verdicts.mark(dead_id, Outcome.FAILED_AGAIN, why="lost", replay_no=number, detail=detail)
        return None
    gone = "" if row.state else "the record is gone"
    verdicts.mark(dead_id, Outcome.UNCONFIRMED, replay_no=number, detail=gone)
    return None if gone else Ended(is_success=False, is_known=False)


def group_of(row: Any) -> str:
    """The group of a record; where it has none yet, its error and task stand for one."""
    return str(row.group_id or name_of(row))


def name_of(row: Any) -> str:
    """What a group is called: the error and the task."""
    return storable(f"{row.exception_name or row.kind} in {row.task or 'no task'}", ID_LENGTH)


def _failed_again(row: Any, verdicts: Verdicts) -> Ended:
    group = group_of(row)
    # a record listed before it had a group was listed under the name of one
    is_same = row.old_group in (group, name_of(row))
    detail = (row.message.splitlines() or [""])[0][:_LINE]
    verdicts.mark(
        row.dead_letter_id,
        Outcome.FAILED_AGAIN,
        why="same" if is_same else "new",
        replay_no=row.replay_no,
        new_group_id=group,
        detail=detail,
    )
    return Ended(is_success=False, same_group=group if is_same else "", label=name_of(row))
