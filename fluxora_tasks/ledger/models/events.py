"""What happened, for people and for other programs [sqlalchemy]."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fluxora_tasks.ledger.models.base import Base, Id, Label, Serial, where

#: Actors that are no people; the three changes that every message makes. What else is asked for has an index.
MACHINES: Final = ("system", "worker")
USUAL: Final = ("failed", "replayed", "resolved")
BY_PEOPLE: Final = f"actor NOT IN {MACHINES}"
SELDOM: Final = f"event NOT IN {USUAL}"


class AuditEventRow(Base):
    """One change of the status of a record, or of the state of a group or an operation; it outlives them.

    ``dead_letter_id`` is empty where it is about no record.
    """

    __tablename__ = "audit_events"

    seq: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    dead_letter_id: Mapped[str] = mapped_column(Id)
    event: Mapped[str] = mapped_column(String(32))
    from_status: Mapped[str | None] = mapped_column(String(12))
    to_status: Mapped[str] = mapped_column(String(12))
    replay_no: Mapped[int]
    actor: Mapped[str] = mapped_column(Label)
    source: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    detail: Mapped[str]
    operation_id: Mapped[str | None] = mapped_column(Id)
    group_id: Mapped[str | None] = mapped_column(Id)

    __table_args__ = (
        Index(None, "dead_letter_id", "seq"),
        Index("ix_audit_events_operation", "operation_id", "seq", **where("operation_id IS NOT NULL")),
        Index("ix_audit_events_group", "group_id", "seq", **where("group_id IS NOT NULL")),
        Index("ix_audit_events_actor", "actor", "seq", **where(BY_PEOPLE)),
        Index("ix_audit_events_event", "event", "seq", **where(SELDOM)),
        Index(None, "at"),
    )


class OutboxRow(Base):
    """One event for other programs, written with the change it tells of.

    ``event``: its name, such as message.dead; ``subject``: id of the record, group or operation, whose events are in
    the order of ``seq``; ``data``: JSON, its form told by ``v`` in it.
    """

    __tablename__ = "outbox"

    seq: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(Id)
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(48))
    subject: Mapped[str] = mapped_column(Id)
    data: Mapped[str]

    __table_args__ = (Index(None, "at"),)
