"""The ledger's first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LISTS = (
    ("newest", "last_failed_at", "id", "status"),
    ("status", "status", "last_failed_at", "id"),
    ("task", "task", "last_failed_at", "id", "status"),
    ("queue", "queue", "last_failed_at", "id", "status"),
    ("kind", "kind", "last_failed_at", "id", "status"),
    ("exception", "exception_name", "last_failed_at", "id", "status"),
    ("message", "message_id"),
)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "audit_events",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("dead_letter_id", _indexed(64), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("from_status", sa.String(length=12), nullable=True),
        sa.Column("to_status", sa.String(length=12), nullable=False),
        sa.Column("replay_no", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_dead_letter_id_seq", "audit_events", ["dead_letter_id", "seq"])
    op.create_table(
        "dead_letters",
        sa.Column("id", _indexed(64), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("replay_no", sa.Integer(), nullable=False),
        sa.Column("replays", sa.Integer(), nullable=False),
        sa.Column("confirmed_no", sa.Integer(), nullable=True),
        sa.Column("decided", sa.Boolean(), nullable=False),
        sa.Column("suspect", sa.Boolean(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", _TIME, nullable=False),
        sa.Column("last_failed_at", _TIME, nullable=False),
        sa.Column("status_at", _TIME, nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("task", _indexed(512), nullable=False),
        sa.Column("task_id", sa.String(length=255), nullable=False),
        sa.Column("queue", _indexed(512), nullable=False),
        sa.Column("exchange", _indexed(512), nullable=False),
        sa.Column("routing_key", _indexed(512), nullable=False),
        sa.Column("exception_type", _indexed(512), nullable=False),
        sa.Column("exception_name", _indexed(512), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.Column("group_id", _indexed(64), nullable=True),
        sa.Column("content_type", sa.String(length=255), nullable=True),
        sa.Column("content_encoding", sa.String(length=255), nullable=True),
        sa.Column("kept_key", sa.String(length=128), nullable=False),
        sa.Column("shown_key", sa.String(length=128), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )
    for name, *columns in _LISTS:
        op.create_index(f"ix_dead_letters_{name}", "dead_letters", columns)
    op.create_table(
        "failed_imports",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("digest", _indexed(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=True),
        sa.Column("content_encoding", sa.String(length=255), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_failed_imports"),
        sa.UniqueConstraint("digest", name="uq_failed_imports_digest"),
    )
    op.create_table(
        "dead_attempts",
        sa.Column("failure_id", _indexed(64), nullable=False),
        sa.Column("dead_letter_id", _indexed(64), nullable=False),
        sa.Column("replay_no", sa.Integer(), nullable=False),
        sa.Column("failed_at", _TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("trimmed", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("exception_type", _indexed(512), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dead_letter_id"], ["dead_letters.id"], name="fk_dead_attempts_dead_letter_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("failure_id", name="pk_dead_attempts"),
    )
    op.create_index(
        "ix_dead_attempts_dead_letter_id_replay_no_failed_at",
        "dead_attempts",
        ["dead_letter_id", "replay_no", "failed_at"],
    )
    op.create_table(
        "replay_items",
        sa.Column("id", _indexed(64), nullable=False),
        sa.Column("dead_letter_id", _indexed(64), nullable=False),
        sa.Column("replay_no", sa.Integer(), nullable=False),
        sa.Column("publish_id", _indexed(64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claimed_at", _TIME, nullable=False),
        sa.Column("tried_at", _TIME, nullable=False),
        sa.Column("issued_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("previous_status", sa.String(length=12), nullable=False),
        sa.Column("operation_id", _indexed(64), nullable=True),
        sa.Column("task_id", _indexed(64), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dead_letter_id"], ["dead_letters.id"], name="fk_replay_items_dead_letter_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_replay_items"),
    )
    op.create_index(
        "ix_replay_items_claimed",
        "replay_items",
        ["tried_at"],
        sqlite_where=sa.text("state = 'claimed'"),
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index(
        "ix_replay_items_dead_letter_id_replay_no", "replay_items", ["dead_letter_id", "replay_no"], unique=True
    )
    op.create_index(
        "uq_replay_items_active",
        "replay_items",
        ["dead_letter_id"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )


def downgrade() -> None:
    """Drop them, with everything in them."""
    for table in ("replay_items", "dead_attempts", "failed_imports", "dead_letters", "audit_events"):
        op.drop_table(table)


def _indexed(length: int) -> Any:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
