"""The tables of the ledger [sqlalchemy].

dead_letters     one row per record: where it stands, its newest failure, its first message as received
dead_attempts    one row per failure; its key makes ingest idempotent
replay_items     one row per claimed replay; at most one active per record
audit_events     one row per change of a record's status, append only
failed_imports   raw messages of the dead-letter queue that could not become a record
early_successes  successes of messages without a record: their failure may still be on its way

Wide columns stand last: SQLite walks the ones before them to reach a column.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from fluxora_tasks.ledger.rows import ID_LENGTH, LABEL_LENGTH, NAME_LENGTH

#: Longest key that ``rows.order_key`` makes.
KEY_LENGTH: Final = 128


#: A row of any columns.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, to the microsecond; stored so that it sorts (SQLite keeps it as text)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware in, UTC to the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time without zone: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC out, aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _indexed(length: int) -> TypeEngine[str]:
    """A text compared by its bytes, as SQLite does; so PostgreSQL's index serves a search by prefix, too."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


_Id = _indexed(ID_LENGTH)
_Name = _indexed(NAME_LENGTH)
_Label = String(LABEL_LENGTH)
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """Keyword arguments of a partial index."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Base(DeclarativeBase):
    """Of every table; the names of constraints are fixed, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: Final[dict[Any, Any]] = {datetime: UtcDateTime, str: Text, bytes: LargeBinary}


def table_of(row: type[Base]) -> Table:
    """The table behind a class of rows."""
    assert isinstance(row.__table__, Table)
    return row.__table__


class DeadLetterRow(Base):
    """A record.

    ``decided``: an operator's DISCARDED or RESOLVED stands until a newer failure.
    ``suspect``: a failure of the current replay asks for quarantine.
    ``conflict``: the current replay both failed and succeeded.
    ``kept_key``, ``shown_key``: place in order of the failure whose message is kept, and of the one that is shown.
    ``exception_name``: the last part of ``exception_type``.
    ``attempts``: runs of the body; ``failures``: the ends of a message's life, which are rows of dead_attempts.
    """

    __tablename__ = "dead_letters"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
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
    message_id: Mapped[str] = mapped_column(_Label)
    task: Mapped[str] = mapped_column(_Name)
    task_id: Mapped[str] = mapped_column(_Label)
    queue: Mapped[str] = mapped_column(_Name)
    exchange: Mapped[str] = mapped_column(_Name)
    routing_key: Mapped[str] = mapped_column(_Name)
    exception_type: Mapped[str] = mapped_column(_Name)
    exception_name: Mapped[str] = mapped_column(_Name)
    worker: Mapped[str] = mapped_column(_Label)
    group_id: Mapped[str | None] = mapped_column(_Id)
    content_type: Mapped[str | None] = mapped_column(_Label)
    content_encoding: Mapped[str | None] = mapped_column(_Label)
    kept_key: Mapped[str] = mapped_column(String(KEY_LENGTH))
    shown_key: Mapped[str] = mapped_column(String(KEY_LENGTH))
    message: Mapped[str]
    headers: Mapped[str]
    properties: Mapped[str]
    traceback: Mapped[str]
    body: Mapped[bytes]

    __table_args__ = (
        # pages and totals of a filter follow one of these; the status rides along, as it is nearly always asked
        Index("ix_dead_letters_newest", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_status", "status", "last_failed_at", "id"),
        Index("ix_dead_letters_task", "task", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_queue", "queue", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_kind", "kind", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_exception", "exception_name", "last_failed_at", "id", "status"),
        Index("ix_dead_letters_message", "message_id"),
    )


class DeadAttemptRow(Base):
    """One failure. ``trimmed``: its texts were dropped; the row stays, so that the failure is known again."""

    __tablename__ = "dead_attempts"

    failure_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    dead_letter_id: Mapped[str] = mapped_column(_Id, ForeignKey("dead_letters.id", ondelete="CASCADE"))
    replay_no: Mapped[int]
    failed_at: Mapped[datetime]
    attempts: Mapped[int]
    trimmed: Mapped[bool]
    kind: Mapped[str] = mapped_column(String(32))
    run_id: Mapped[str] = mapped_column(_Label)
    exception_type: Mapped[str] = mapped_column(_Name)
    worker: Mapped[str] = mapped_column(_Label)
    message: Mapped[str]
    traceback: Mapped[str]

    __table_args__ = (Index(None, "dead_letter_id", "replay_no", "failed_at"),)


class ReplayItemRow(Base):
    """One claimed replay.

    ``state``: claimed · issued · succeeded · failed · aborted (could not be published); the first two are active.
    ``publish_id``: of its newest physical copy; the workers let only the first copy they meet run.
    ``task_id``: a fresh one, where the old one cannot be sent again.
    ``previous_status``: where the record goes back to if the publish fails.
    """

    __tablename__ = "replay_items"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    dead_letter_id: Mapped[str] = mapped_column(_Id, ForeignKey("dead_letters.id", ondelete="CASCADE"))
    replay_no: Mapped[int]
    publish_id: Mapped[str] = mapped_column(_Id)
    state: Mapped[str] = mapped_column(String(12))
    active: Mapped[bool]
    tries: Mapped[int]
    claimed_at: Mapped[datetime]
    tried_at: Mapped[datetime]
    issued_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    previous_status: Mapped[str] = mapped_column(String(12))
    operation_id: Mapped[str | None] = mapped_column(_Id)
    task_id: Mapped[str | None] = mapped_column(_Id)
    actor: Mapped[str] = mapped_column(_Label)
    source: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    error: Mapped[str | None]

    __table_args__ = (
        Index("uq_replay_items_active", "dead_letter_id", unique=True, **_where("active")),
        Index(None, "dead_letter_id", "replay_no", unique=True),
        Index("ix_replay_items_claimed", "tried_at", **_where("state = 'claimed'")),
    )


class AuditEventRow(Base):
    """One change of a record's status; it outlives the record."""

    __tablename__ = "audit_events"

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    dead_letter_id: Mapped[str] = mapped_column(_Id)
    event: Mapped[str] = mapped_column(String(32))
    from_status: Mapped[str | None] = mapped_column(String(12))
    to_status: Mapped[str] = mapped_column(String(12))
    replay_no: Mapped[int]
    actor: Mapped[str] = mapped_column(_Label)
    source: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    detail: Mapped[str]

    __table_args__ = (Index(None, "dead_letter_id", "seq"),)


class FailedImportRow(Base):
    """A raw message that could not become a record, with its bytes; equal ones are one row and counted."""

    __tablename__ = "failed_imports"

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    digest: Mapped[str] = mapped_column(_Id, unique=True)
    at: Mapped[datetime]
    seen: Mapped[int]
    size: Mapped[int]
    content_type: Mapped[str | None] = mapped_column(_Label)
    content_encoding: Mapped[str | None] = mapped_column(_Label)
    error: Mapped[str]
    headers: Mapped[str]
    properties: Mapped[str]
    body: Mapped[bytes]


class EarlySuccessRow(Base):
    """The newest success of a message nobody has a record of; kept for a while, see ``early``."""

    __tablename__ = "early_successes"

    dead_letter_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    replay_no: Mapped[int]
    run_id: Mapped[str] = mapped_column(_Label)
    succeeded_at: Mapped[datetime]
    heard_at: Mapped[datetime]
    worker: Mapped[str] = mapped_column(_Label)

    __table_args__ = (Index(None, "heard_at"),)
