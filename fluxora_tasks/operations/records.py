"""What operations take and return: plain records that know no HTTP, terminal or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fluxora_tasks.ledger.records import RunningReplay


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it and why; both stand in the audit row.

    Attributes:
        name: Login or service name.
        reason: Free text, not empty.
        source: Interface the action came through.
    """

    name: str
    reason: str
    source: Literal["cli", "flower", "api", "system"] = "cli"


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """One row of a list of dead letters; the field names are public (``--json``)."""

    id: str
    status: str
    kind: str
    task: str
    task_id: str
    queue: str
    exception_type: str
    message: str
    attempts: int
    replays: int
    first_failed_at: datetime
    last_failed_at: datetime
    group: str | None
    size: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to a record, oldest first.

    Attributes:
        at: When.
        event: ``failed``, ``replayed``, ``resolved``, ``discarded``, ``quarantined``, ….
        actor: Who; ``worker`` for failures, ``system`` for confirmations.
        detail: One line.
        replay_no: The replay it belongs to; 0 for the original message.
    """

    at: datetime
    event: str
    actor: str
    detail: str
    replay_no: int


@dataclass(frozen=True, slots=True)
class DeadLetterDetail:
    """One record, whole.

    ``args`` and ``kwargs`` are the decoded arguments where the body is JSON of Celery's shape, else ``None``
    and ``body_note`` says why they are not shown (a pickle, for instance, is never loaded).
    ``possible_duplicates`` are records that may stand for the same message, since it has no id of its own.
    """

    summary: DeadLetterSummary
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    body_note: str | None
    content_type: str | None
    headers: dict[str, Any]
    traceback: str
    worker: str
    exchange: str
    routing_key: str
    message_id: str
    replay: RunningReplay | None = None
    possible_duplicates: Sequence[str] = ()
    history: Sequence[HistoryEntry] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Original:
    """A message as it was received, with nothing hidden.

    Attributes:
        id: Of its record.
        body: Its bytes; never loaded.
    """

    id: str
    body: bytes
    content_type: str | None
    content_encoding: str | None
    headers: dict[str, Any]
    properties: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        items: At most ``limit`` rows, newest failure first.
        total: Rows that match the filter; where that would take too long to count, at least so many.
        next: Cursor of the next page, or ``None`` on the last one.
    """

    items: Sequence[DeadLetterSummary]
    total: int
    next: str | None
    total_is_exact: bool = True


Outcome = Literal["done", "unknown", "conflict", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one record in an action.

    Attributes:
        id: The record, as given where it is unknown.
        outcome: ``done`` · ``unknown`` (no such id) · ``conflict`` (already replaying, changed meanwhile)
            · ``refused`` (its status does not allow it) · ``failed`` (a part is away; nothing was changed).
        status: Status after the action, or ``None`` where unknown.
        detail: One line for a person.
    """

    id: str
    outcome: Outcome
    status: str | None
    detail: str
