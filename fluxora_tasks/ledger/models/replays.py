"""Replays, and the bulk operations that they may be part of [sqlalchemy]."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fluxora_tasks.ledger.models.base import Base, Id, Label, where


class ReplayItemRow(Base):
    """One claimed replay.

    ``state``: claimed · issued · succeeded · failed · aborted (could not be published); the first two are active.
    ``publish_id``: of its newest physical copy; the workers let only the first copy they meet run.
    ``task_id``: a fresh one, where the old one cannot be sent again.
    ``previous_status``: where the record goes back to if the publish fails.
    ``progress_at``, ``due_at``: when a worker last put it off for a retry, and until when.
    ``unconfirmed_at``: when it was first noticed that nobody has heard of it for too long.
    """

    __tablename__ = "replay_items"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    dead_letter_id: Mapped[str] = mapped_column(Id, ForeignKey("dead_letters.id", ondelete="CASCADE"))
    replay_no: Mapped[int]
    publish_id: Mapped[str] = mapped_column(Id)
    state: Mapped[str] = mapped_column(String(12))
    active: Mapped[bool]
    tries: Mapped[int]
    claimed_at: Mapped[datetime]
    tried_at: Mapped[datetime]
    issued_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    previous_status: Mapped[str] = mapped_column(String(12))
    operation_id: Mapped[str | None] = mapped_column(Id)
    task_id: Mapped[str | None] = mapped_column(Id)
    actor: Mapped[str] = mapped_column(Label)
    source: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    error: Mapped[str | None]
    progress_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    unconfirmed_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_replay_items_active", "dead_letter_id", unique=True, **where("active")),
        Index(None, "dead_letter_id", "replay_no", unique=True),
        Index("ix_replay_items_claimed", "tried_at", **where("state = 'claimed'")),
        Index("ix_replay_items_issued", "issued_at", **where("state = 'issued'")),
        Index(None, "operation_id", "dead_letter_id"),
    )


class OperationRow(Base):
    """A bulk operation: what it takes, how fast, how far it got.

    ``state``: planned · running · paused · completed · cancelled · aborted; completed once every outcome is known.
    ``selector``: JSON, {"ids": […]} or {"filter": "…"}; records that failed after ``cutoff_at`` are not taken.
    ``plan``: JSON, what was counted and warned of when it was planned.
    ``pace``: JSON, its limits; ``progress``: JSON, where the executor stands (canary, rate, outcomes of its steps).
    ``listed_key``: place in the selection up to which there are items; ``listed_all``: there are no more.
    ``hold``: why it is paused: an operator's word, or what it waits for; ``held_by``: operator or system.
    ``expires_at``: until when a plan may be started.
    """

    __tablename__ = "replay_operations"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(12))
    version: Mapped[int]
    selector: Mapped[str]
    cutoff_at: Mapped[datetime]
    planned_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    planned: Mapped[int]
    plan: Mapped[str]
    pace: Mapped[str]
    progress: Mapped[str]
    actor: Mapped[str] = mapped_column(Label)
    source: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    state_at: Mapped[datetime]
    detail: Mapped[str]
    hold: Mapped[str]
    held_by: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    listed_key: Mapped[str]
    listed_all: Mapped[bool]
    total: Mapped[int]
    issued: Mapped[int]
    known: Mapped[int]
    succeeded: Mapped[int]
    failed: Mapped[int]
    skipped: Mapped[int]

    __table_args__ = (
        Index(None, "planned_at", "id"),
        Index("ix_replay_operations_active", "planned_at", **where("state IN ('running', 'paused', 'cancelled')")),
    )


class OperationItemRow(Base):
    """One record of a bulk operation.

    ``outcome``: pending · issued · done · succeeded · failed_again · skipped · publish_failed · unconfirmed.
    ``why``: of a skipped one: already_replaying, state_changed, quarantined, cancelled, …; of one that failed again:
    same or new, as its group is that of before or another.
    ``group_id``: of the record when it was listed; ``new_group_id``: of the failure of its replay.
    """

    __tablename__ = "operation_items"

    operation_id: Mapped[str] = mapped_column(
        Id, ForeignKey("replay_operations.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    dead_letter_id: Mapped[str] = mapped_column(Id)
    outcome: Mapped[str] = mapped_column(String(16))
    why: Mapped[str] = mapped_column(String(24))
    replay_no: Mapped[int | None]
    changed_at: Mapped[datetime]
    group_id: Mapped[str | None] = mapped_column(Id)
    new_group_id: Mapped[str | None] = mapped_column(Id)
    detail: Mapped[str]

    __table_args__ = (
        Index(None, "operation_id", "outcome", "seq"),
        Index(None, "dead_letter_id", "operation_id", unique=True),
    )


class LeaseRow(Base):
    """What only one process does at a time, and until when it has the right to.

    ``until``: seconds since 1970, by the clock of the database.
    """

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Id, primary_key=True)
    owner: Mapped[str] = mapped_column(Label)
    until: Mapped[float] = mapped_column(Double)
