"""What the ledger hands out: records, never rows (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from fluxora_tasks.deadletter.envelope import Payload, View


class Requester(Protocol):
    """Who asks for a change, why, and through which interface."""

    @property
    def name(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def source(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """One record, as a list shows it."""

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
class LetterPage:
    """One page of records, newest failure first.

    Attributes:
        letters: The rows.
        total: Records that match; where that would take too long to count, at least so many.
        next: Cursor of the next page, ``None`` on the last.
    """

    letters: Sequence[Letter]
    total: int
    next: str | None
    total_is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One failure of a record."""

    failed_at: datetime
    replay_no: int
    kind: str
    attempts: int
    exception_type: str
    message: str
    worker: str


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change of a record's status."""

    at: datetime
    event: str
    to_status: str
    replay_no: int
    actor: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """One entry of the whole audit.

    Attributes:
        seq: Its number; later ones are greater.
        dead_letter_id: The record it is about; empty where it is about a group or an operation alone.
    """

    seq: int
    at: datetime
    event: str
    dead_letter_id: str
    group_id: str | None
    operation_id: str | None
    from_status: str | None
    to_status: str
    replay_no: int
    actor: str
    source: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RunningReplay:
    """A replay without an outcome.

    Attributes:
        actor: Who asked for it; ``operation_id``: as part of which bulk operation.
        issued_at: When the broker had its message; ``None``: it is still to be sent.
        progress_at: When a worker last said that it goes on; ``due_at``: when its next attempt is.
        unconfirmed_at: When it was noticed that nobody had heard of it for too long.
    """

    replay_no: int
    actor: str
    operation_id: str | None
    claimed_at: datetime
    issued_at: datetime | None
    progress_at: datetime | None
    due_at: datetime | None
    unconfirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Story:
    """One record, whole.

    Attributes:
        letter: Its summary.
        payload: Its first message as received.
        failures: How often it failed; ``attempts`` has the first and the last of them.
        late_successes: Replays that succeeded after a newer one had been claimed: number and time.
        view: What may be shown of the message; ``None`` where an older release recorded it.
        replay: Of it there is no outcome yet.
        duplicates: Ids of records that may stand for the same message, since it has no id of its own.
    """

    letter: Letter
    payload: Payload
    traceback: str
    worker: str
    exchange: str
    routing_key: str
    message_id: str
    failures: int
    attempts: Sequence[Attempt]
    events: Sequence[AuditEvent]
    late_successes: Sequence[tuple[int, datetime]]
    view: View | None = None
    replay: RunningReplay | None = None
    duplicates: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FailedImport:
    """A raw message of the dead-letter queue that could not become a record.

    Attributes:
        seq: Its number.
        seen: How often it came.
        error: Why, when it was tried last.
    """

    seq: int
    at: datetime
    seen: int
    size: int
    content_type: str | None
    error: str


@dataclass(frozen=True, slots=True)
class Group:
    """Failures with one fingerprint.

    Attributes:
        state: ``open`` · ``acknowledged`` · ``ignored`` · ``resolved`` · ``regressed``.
        message: Of its newest failure, as are kind, task and type.
        failures: How often it failed, records that are purged included.
        pending: Records of it that are PENDING; likewise the four after it.
        regressions: How often it failed again after somebody resolved it.
        merged: Ids of the groups that were merged into it; what it counts, it counts of them, too.
        step: Which step of the rules decided, and ``parts`` what was compared.
        actor: Who said last where it stands, and why.
    """

    id: str
    state: str
    kind: str
    task: str
    exception_type: str
    message: str
    failures: int
    pending: int
    retrying: int
    resolved: int
    failed: int
    discarded: int
    regressions: int
    first_failed_at: datetime
    last_failed_at: datetime
    state_at: datetime
    actor: str
    reason: str
    step: str
    fingerprint_version: int
    parts: Sequence[str]
    merged: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class GroupPage:
    """One page of groups, newest failure first; as ``LetterPage``."""

    items: Sequence[Group]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A replay that nobody else may send: what to send, and where.

    Attributes:
        item_id: Row of the replay.
        payload: The message with its rewritten headers.
    """

    item_id: str
    dead_id: str
    replay_no: int
    queue: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledger answers to one request for a change.

    Attributes:
        id: The record.
        outcome: ``done`` · ``unknown`` (no such id) · ``conflict`` (being replayed) · ``refused`` (by its status).
        status: Status now, ``None`` where unknown.
        detail: One line for a person.
        claim: Where a replay may be sent.
    """

    id: str
    outcome: Literal["done", "unknown", "conflict", "refused"]
    status: str | None
    detail: str
    claim: Claim | None = None
