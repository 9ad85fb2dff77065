"""What a bulk operation is: its selection, plan, pace and states (pure).

    planned -> running <-> paused -> completed | cancelled | aborted

A cancelled or aborted one issues nothing more; it has ended once the outcomes of what it had issued are known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from fluxora_tasks.errors import ConfigurationError, ConflictError
from fluxora_tasks.ledger.rows import ID_LENGTH, storable
from fluxora_tasks.ledger.standing import Status

#: Ids an operation may name; seconds for which a plan may be started; share of records by which it may have changed.
MOST_IDS: Final = 10_000
PLAN_VALID: Final = 900.0
MOST_DRIFT: Final = 0.10

#: Canary by itself: this share of the records, but at least and at most so many.
_CANARY_SHARE: Final = 0.01
_CANARY_LEAST: Final = 10
_CANARY_MOST: Final = 100

_dumps: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Kind(StrEnum):
    """What is done to each record."""

    REPLAY = "replay"
    DISCARD = "discard"
    RESTORE = "restore"
    RESOLVE = "resolve"


class State(StrEnum):
    """Where an operation stands."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ABORTED = "aborted"


class Outcome(StrEnum):
    """What became of one record. ``done``: of an operation that sends nothing; ``unconfirmed`` may still change."""

    PENDING = "pending"
    ISSUED = "issued"
    DONE = "done"
    SUCCEEDED = "succeeded"
    FAILED_AGAIN = "failed_again"
    SKIPPED = "skipped"
    PUBLISH_FAILED = "publish_failed"
    UNCONFIRMED = "unconfirmed"


_ENDS: Final = frozenset({State.COMPLETED, State.CANCELLED, State.ABORTED})

#: State -> those that may follow.
NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.PLANNED: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.PAUSED, *_ENDS}),
    State.PAUSED: frozenset({State.RUNNING, *_ENDS}),
    State.COMPLETED: frozenset(),
    State.CANCELLED: frozenset(),
    State.ABORTED: frozenset(),
}

#: Statuses of the records that an operation takes where its filter names none.
TAKEN: Final[Mapping[Kind, tuple[Status, ...]]] = {
    Kind.REPLAY: (Status.PENDING,),
    Kind.DISCARD: (Status.PENDING,),
    Kind.RESOLVE: (Status.PENDING,),
    Kind.RESTORE: (Status.DISCARDED,),
}


class PlanDrifted(ConflictError):
    """Since an operation was planned the number of its records has changed too much.

    Args:
        id: Of the operation; its plan has been made anew.
        planned: Records then.
        plan: The new plan.
    """

    code = "operation.drifted"

    def __init__(self, id: str, planned: int, plan: Plan) -> None:
        super().__init__(id, planned, plan)
        self.plan = plan

    def __str__(self) -> str:
        id, planned, plan = self.args
        return (
            f"{planned} records were planned, now there are {plan.total}; look at the new plan, then start {id} again"
        )


@dataclass(frozen=True, slots=True)
class Selector:
    """Which records: exactly one way of saying so.

    Attributes:
        ids: These, in this order.
        filter: Those that a filter finds.
        all: Every one; said on purpose, since it is also what an empty filter would mean.
    """

    ids: tuple[str, ...] = ()
    filter: str = ""
    all: bool = False

    def __post_init__(self) -> None:
        if not (self.ids or self.filter.strip() or self.all):
            raise ConfigurationError("an operation needs ids or a filter; say all if every record is meant")
        if bool(self.ids) + bool(self.filter.strip()) + self.all > 1:
            raise ConfigurationError("an operation takes ids, or a filter, or all; not two of them")
        if len(self.ids) > MOST_IDS:
            raise ConfigurationError(f"{len(self.ids)} ids are too many; {MOST_IDS} at most, or say it as a filter")
        for id in self.ids:
            if not id or storable(id, ID_LENGTH) != id:
                raise ConfigurationError(f"{id[:ID_LENGTH]!r} is no id of a dead letter")

    def written(self) -> str:
        """As stored."""
        return _dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def read(cls, text: str) -> Selector:
        """Of a stored one."""
        known = json.loads(text)
        return cls(tuple(known.get("ids", ())), known.get("filter", ""), known.get("all", False))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a replay goes, and when it stops by itself.

    Attributes:
        rate: Messages per second to begin with, above 0.
        max_rate: Up to which the rate doubles; ``None``: ten times ``rate``.
        max_in_flight: Messages sent without a known outcome, at most; from 1.
        canary: Messages whose outcomes are awaited before more are sent; ``None``: 1 % of the records, but from 10 to
            100; 0: none.
        ramp: Whether the rate doubles after each step that went well.
        stop_ratio: Share of failures among the latest outcomes above which the operation aborts; 0 to 1.
        patience: Seconds without any outcome, while some are awaited, after which it pauses until there is one.
        max_lag: Seconds the ledger may lag behind before it pauses.
    """

    rate: float = 10.0
    max_rate: float | None = None
    max_in_flight: int = 100
    canary: int | None = None
    ramp: bool = True
    stop_ratio: float = 0.2
    patience: float = 900.0
    max_lag: float = 60.0

    def __post_init__(self) -> None:
        for name in ("rate", "patience", "max_lag"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} is {value}; it must be above 0")
        if self.max_rate is not None and not (math.isfinite(self.max_rate) and self.max_rate >= self.rate):
            raise ConfigurationError(f"max_rate is {self.max_rate}; it must not be below rate ({self.rate:g})")
        if self.max_in_flight < 1:
            raise ConfigurationError(f"max_in_flight is {self.max_in_flight}; it must be at least 1")
        if self.canary is not None and self.canary < 0:
            raise ConfigurationError(f"canary is {self.canary}; it must be 0 or more")
        if not 0 <= self.stop_ratio <= 1:
            raise ConfigurationError(f"stop_ratio is {self.stop_ratio}; it must be from 0 to 1")

    @property
    def ceiling(self) -> float:
        """The highest rate."""
        if not self.ramp:
            return self.rate
        return self.rate * 10 if self.max_rate is None else self.max_rate

    def canary_of(self, records: int) -> int:
        """Messages of the canary of so many records."""
        if self.canary is not None:
            return self.canary
        return min(max(_CANARY_LEAST, math.ceil(records * _CANARY_SHARE)), _CANARY_MOST)

    def written(self) -> str:
        """As stored."""
        return _dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Pace:
        """Of a stored one."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Count:
    """Records of one name."""

    name: str
    records: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation would take, counted before it starts.

    Attributes:
        total: Records it takes.
        tasks: Their numbers by task, the most first; likewise ``groups``, ``queues``, ``kinds``, ``statuses``.
        oldest: When the longest dead of them last failed; ``newest`` likewise.
        size: Bytes of their bodies.
        seconds: How long it takes at best, by its pace.
        left_out: Records that match but are not taken, by status.
        warnings: Lines for a person.
    """

    total: int = 0
    tasks: tuple[Count, ...] = ()
    groups: tuple[Count, ...] = ()
    queues: tuple[Count, ...] = ()
    kinds: tuple[Count, ...] = ()
    statuses: tuple[Count, ...] = ()
    oldest: str | None = None
    newest: str | None = None
    size: int = 0
    seconds: float = 0.0
    left_out: tuple[Count, ...] = ()
    warnings: tuple[str, ...] = ()

    def written(self) -> str:
        """As stored."""
        return _dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Plan:
        """Of a stored one."""
        known = json.loads(text)
        for name in ("tasks", "groups", "queues", "kinds", "statuses", "left_out"):
            known[name] = tuple(Count(**count) for count in known[name])
        return cls(**{**known, "warnings": tuple(known["warnings"])})


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the executor stands; kept, so that another one goes on at the same pace.

    Attributes:
        is_canary: The outcomes of the first messages are awaited before more are sent.
        rate: Messages per second at present; 0: that of the pace.
        tokens: Messages that might be sent at once at ``filled_at`` (seconds since 1970).
        sent: Messages of this canary.
        succeeded: Outcomes of this step; ``failed`` likewise.
        recent: Latest outcomes, the newest last: ``s``, ``f``, or ``u`` of a message that nobody has heard of.
        again: Group -> messages of this canary that failed as before.
        labels: Group -> its name for people.
        heard_at: When an outcome was last awaited with success, or the first message sent; seconds since 1970.
    """

    is_canary: bool = True
    rate: float = 0.0
    tokens: float = 0.0
    filled_at: float = 0.0
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    recent: str = ""
    again: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    heard_at: float = 0.0

    def written(self) -> str:
        """As stored."""
        return _dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Progress:
        """Of a stored one."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Operation:
    """A bulk operation, as it is kept.

    Attributes:
        version: Number of its state; grows with every change of it.
        cutoff_at: Records that failed later are not taken.
        planned: Records that the plan counted; ``total``: items there are by now.
        hold: Why it is paused; ``held_by``: ``operator`` or ``system``.
        detail: Why it was aborted.
        issued: Records that were sent, or acted upon; ``known``: those whose outcome is known.
        failed: Those that failed again or could not be published.
        ended_at: When its last outcome was known.
    """

    id: str
    kind: Kind
    state: State
    version: int
    selector: Selector
    cutoff_at: datetime
    planned_at: datetime
    expires_at: datetime
    planned: int
    plan: Plan
    pace: Pace
    progress: Progress
    actor: str
    source: str
    reason: str
    state_at: datetime
    detail: str
    hold: str
    held_by: str
    started_at: datetime | None
    ended_at: datetime | None
    listed_key: str
    listed_all: bool
    total: int
    issued: int
    known: int
    succeeded: int
    failed: int
    skipped: int

    @property
    def in_flight(self) -> int:
        """Records sent whose outcome is not known."""
        return self.issued + self.skipped - self.known

    @property
    def pending(self) -> int:
        """Items that are yet to be sent."""
        return self.total - self.issued - self.skipped

    @property
    def unconfirmed(self) -> int:
        """Records of which nobody has heard for too long; they count as known."""
        return self.known - self.succeeded - self.failed - self.skipped

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class Item:
    """One record of an operation.

    Attributes:
        seq: Its place, from 1.
        why: Of a skipped one: ``already_replaying``, ``state_changed``, ``quarantined``, ``no_queue``, ``unknown``,
            ``cancelled``, ``aborted``; of one that failed again: ``same`` or ``new``, by its group.
        group_id: When it was listed; ``new_group_id``: of the failure of its replay.
    """

    seq: int
    dead_letter_id: str
    outcome: str
    why: str
    replay_no: int | None
    changed_at: datetime
    group_id: str | None
    new_group_id: str | None
    detail: str


def check_step(operation: Operation, to: State) -> None:
    """
    Raises:
        ConflictError: the operation's state does not lead there.
    """
    if to in NEXT[operation.state]:
        return
    if operation.state is to:
        raise ConflictError(f"operation {operation.id} is {to} already")
    what = {State.RUNNING: "started or resumed", State.PAUSED: "paused"}.get(to, to.value)
    raise ConflictError(f"operation {operation.id} is {operation.state} and cannot be {what}")


def has_drifted(planned: int, now: int) -> bool:
    """Whether a plan says too little about what would be taken now."""
    return abs(now - planned) > MOST_DRIFT * planned


def estimated(kind: Kind, records: int, pace: Pace) -> float:
    """Seconds at best: at the rate, doubled as the ramp would."""
    if kind is not Kind.REPLAY:
        return 0.0
    seconds, left, rate = 0.0, float(records), pace.rate
    while left > 0:
        step = min(left, max(20.0, 5 * rate)) if rate < pace.ceiling else left
        seconds, left, rate = seconds + step / rate, left - step, min(rate * 2, pace.ceiling)
    return seconds


def left_out_lines(left_out: Sequence[Count]) -> list[str]:
    """What is said about records that match but are not taken."""
    say = {
        Status.FAILED.value: "quarantined (FAILED): not taken unless the filter says status:FAILED",
        Status.RETRYING.value: "being replayed now (RETRYING): not taken",
    }
    return [f"{count.records} more are {say[count.name]}" for count in left_out if count.name in say]


def operation_of(row: Any) -> Operation:
    """A stored operation."""
    known = {name: getattr(row, name) for name in Operation.__slots__}
    read = {
        "kind": Kind(row.kind),
        "state": State(row.state),
        "selector": Selector.read(row.selector),
        "plan": Plan.read(row.plan),
        "pace": Pace.read(row.pace),
        "progress": Progress.read(row.progress),
    }
    return Operation(**{**known, **read})
