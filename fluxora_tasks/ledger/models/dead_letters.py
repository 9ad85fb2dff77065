"""Dead letters, their failures, and what stands in for one [sqlalchemy].

Wide columns stand last: SQLite walks the ones before them to reach a column.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxora_tasks.ledger.models.base import Base, Id, Label, Name, Serial, where

#: Longest key that ``rows.order_key`` makes.
KEY_LENGTH: Final = 128


class DeadLetterRow(Base):
    """A record.

    ``decided``: an operator's DISCARDED or RESOLVED stands until a newer failure.
    ``suspect``: a failure of the current replay asks for quarantine.
    ``conflict``: the current replay both failed and succeeded.
    ``kept_key``, ``shown_key``: place in order of the failure whose message is kept, and of the one that is shown.
    ``exception_name``: the last part of ``exception_type``.
    ``attempts``: runs of the body; ``failures``: the ends of a message's life, which are rows of dead_attempts.
    ``group_id``: of the failure that is shown.
    ``headers``, ``properties``, ``body``: the sealed original; only a replay and ``dead reveal`` read them.
    ``forgiven``: replays that count no more towards the cap, since somebody released the record.
    ``body_digest``: of a message that has no id of its own; equal ones may be the same message.
    ``emptied_at``: when the sealed original was dropped by retention.
    """

    __tablename__ = "dead_letters"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    status: Mapped[str] = mapped_column(String(12))
    kind: Mapped[str] = mapped_column(String(32))
    version: Mapped[int]
    replay_no: Mapped[int]
    replays: Mapped[int]
    confirmed_no: Mapped[int | None]
    decided: Mapped[bool]
    suspect: Mapped[bool]
    conflict: Mapped[bool]
    failures: Mapped[int]
    attempts: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int]
    first_failed_at: Mapped[datetime]
    last_failed_at: Mapped[datetime]
    status_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    message_id: Mapped[str] = mapped_column(Label)
    task: Mapped[str] = mapped_column(Name)
    task_id: Mapped[str] = mapped_column(Label)
    queue: Mapped[str] = mapped_column(Name)
    exchange: Mapped[str] = mapped_column(Name)
    routing_key: Mapped[str] = mapped_column(Name)
    exception_type: Mapped[str] = mapped_column(Name)
    exception_name: Mapped[str] = mapped_column(Name)
    worker: Mapped[str] = mapped_column(Label)
    group_id: Mapped[str | None] = mapped_column(Id)
    content_type: Mapped[str | None] = mapped_column(Label)
    content_encoding: Mapped[str | None] = mapped_column(Label)
    kept_key: Mapped[str] = mapped_column(String(KEY_LENGTH))
    shown_key: Mapped[str] = mapped_column(String(KEY_LENGTH))
    message: Mapped[str]
    headers: Mapped[str]
    properties: Mapped[str]
    traceback: Mapped[str]
    body: Mapped[bytes]
    forgiven: Mapped[int] = mapped_column(server_default="0")
    release: Mapped[str] = mapped_column(Label, server_default="")
    body_digest: Mapped[str | None] = mapped_column(Id)
    emptied_at: Mapped[datetime | None]

    __table_args__ = (
        # pages and totals of a filter follow one of these; the status rides along, as it is nearly always asked
        Index("ix_dead_letters_newest", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_status", "status", "last_failed_at", "id"),
        Index("ix_dead_letters_task", "task", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_queue", "queue", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_kind", "kind", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_exception", "exception_name", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_message", "message_id"),
        Index("ix_dead_letters_group", "group_id", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_worker", "worker", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_retention", "status", "status_at", **where("status IN ('RESOLVED', 'DISCARDED')")),
        Index("ix_dead_letters_bodies", "status_at", **where("status = 'RESOLVED' AND emptied_at IS NULL")),
        Index("ix_dead_letters_digest", "body_digest", **where("body_digest IS NOT NULL")),
        # rare values of these lead a search; the values that nearly every record has are left out
        Index("ix_dead_letters_attempts", "attempts"),
        Index("ix_dead_letters_size", "size"),
        Index("ix_dead_letters_task_id", "task_id"),
        Index("ix_dead_letters_failures", "failures", **where("failures > 1")),
        Index("ix_dead_letters_replays", "replays", **where("replays > 0")),
        Index("ix_dead_letters_release", "release", "last_failed_at", "id", "status", **where("release <> ''")),
        Index("ix_dead_letters_conflict", "last_failed_at", "id", "status", **where("conflict")),
    )


#: Texts that may lack words of their record: cut, or with more values than are kept; by database.
CUT: Final = {
    "sqlite": "length(CAST(search_text AS BLOB)) >= 4093 OR length(search_text) - length(replace(search_text, ' ', ''))"
    " >= 500",
    "postgresql": "octet_length(search_text) >= 4093 OR length(search_text) - length(replace(search_text, ' ', ''))"
    " >= 500",
}


class DeadLetterViewRow(Base):
    """What may be shown of a record and searched in it; redacted. ``view``: JSON, see ``envelope.View``.

    The index of words is made by migration 0004: a table of its own on SQLite, a column on PostgreSQL.
    """

    __tablename__ = "dead_letter_views"

    seq: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    dead_letter_id: Mapped[str] = mapped_column(Id, ForeignKey("dead_letters.id", ondelete="CASCADE"), unique=True)
    view: Mapped[str | None]
    search_text: Mapped[str]

    __table_args__ = (
        Index(
            "ix_dead_letter_views_cut",
            "dead_letter_id",
            sqlite_where=text(CUT["sqlite"]),
            postgresql_where=text(CUT["postgresql"]),
        ),
    )


class DeadAttemptRow(Base):
    """One failure. ``trimmed``: its texts were dropped; the row stays, so that the failure is known again."""

    __tablename__ = "dead_attempts"

    failure_id: Mapped[str] = mapped_column(Id, primary_key=True)
    dead_letter_id: Mapped[str] = mapped_column(Id, ForeignKey("dead_letters.id", ondelete="CASCADE"))
    replay_no: Mapped[int]
    failed_at: Mapped[datetime]
    attempts: Mapped[int]
    trimmed: Mapped[bool]
    kind: Mapped[str] = mapped_column(String(32))
    run_id: Mapped[str] = mapped_column(Label)
    exception_type: Mapped[str] = mapped_column(Name)
    worker: Mapped[str] = mapped_column(Label)
    message: Mapped[str]
    traceback: Mapped[str]
    group_id: Mapped[str | None] = mapped_column(Id)

    __table_args__ = (Index(None, "dead_letter_id", "replay_no", "failed_at"),)


class FailedImportRow(Base):
    """A raw message that could not become a record, with its bytes; equal ones are one row and counted."""

    __tablename__ = "failed_imports"

    seq: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    digest: Mapped[str] = mapped_column(Id, unique=True)
    at: Mapped[datetime]
    seen: Mapped[int]
    size: Mapped[int]
    content_type: Mapped[str | None] = mapped_column(Label)
    content_encoding: Mapped[str | None] = mapped_column(Label)
    error: Mapped[str]
    headers: Mapped[str]
    properties: Mapped[str]
    body: Mapped[bytes]


class EarlySuccessRow(Base):
    """The newest success of a message nobody has a record of; kept for a while, see ``early``."""

    __tablename__ = "early_successes"

    dead_letter_id: Mapped[str] = mapped_column(Id, primary_key=True)
    replay_no: Mapped[int]
    run_id: Mapped[str] = mapped_column(Label)
    succeeded_at: Mapped[datetime]
    heard_at: Mapped[datetime]
    worker: Mapped[str] = mapped_column(Label)

    __table_args__ = (Index(None, "heard_at"),)


class TombstoneRow(Base):
    """What is left of a record that retention purged: who it was and how it ended, and nothing of its content."""

    __tablename__ = "tombstones"

    dead_letter_id: Mapped[str] = mapped_column(Id, primary_key=True)
    message_id: Mapped[str] = mapped_column(Label)
    status: Mapped[str] = mapped_column(String(12))
    kind: Mapped[str] = mapped_column(String(32))
    task: Mapped[str] = mapped_column(Name)
    queue: Mapped[str] = mapped_column(Name)
    group_id: Mapped[str | None] = mapped_column(Id)
    failures: Mapped[int]
    replays: Mapped[int]
    replay_no: Mapped[int]
    confirmed_no: Mapped[int | None]
    first_failed_at: Mapped[datetime]
    last_failed_at: Mapped[datetime]
    status_at: Mapped[datetime]
    purged_at: Mapped[datetime]

    __table_args__ = (Index(None, "message_id"), Index(None, "purged_at"))
