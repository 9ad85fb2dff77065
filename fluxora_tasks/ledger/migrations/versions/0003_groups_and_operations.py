"""Groups, bulk operations, redacted views, an outbox, tombstones.

Additions only: the release before still serves.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_NAME = sa.String(512).with_variant(sa.String(512, collation="C"), "postgresql")
_LABEL = sa.String(255)


def upgrade() -> None:
    """Make the tables, then add to those that exist."""
    _make_tables()
    _add_columns()


def _make_tables() -> None:
    op.create_table(
        "dead_groups",
        sa.Column("id", _ID, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint_version", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("state_at", _TIME, nullable=False),
        sa.Column("first_failed_at", _TIME, nullable=False),
        sa.Column("last_failed_at", _TIME, nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("retrying", sa.Integer(), nullable=False),
        sa.Column("resolved", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("discarded", sa.Integer(), nullable=False),
        sa.Column("regressions", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("task", _NAME, nullable=False),
        sa.Column("exception_type", _NAME, nullable=False),
        sa.Column("actor", _LABEL, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_groups"),
    )
    op.create_index("ix_dead_groups_last_failed_at_id", "dead_groups", ["last_failed_at", "id"])
    op.create_index("ix_dead_groups_state_last_failed_at_id", "dead_groups", ["state", "last_failed_at", "id"])
    op.create_table(
        "leases",
        sa.Column("name", _ID, nullable=False),
        sa.Column("owner", _LABEL, nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "outbox",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("event", sa.String(length=48), nullable=False),
        sa.Column("subject", _ID, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
    )
    op.create_index("ix_outbox_at", "outbox", ["at"])
    op.create_table(
        "replay_operations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("cutoff_at", _TIME, nullable=False),
        sa.Column("planned_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("pace", sa.Text(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("actor", _LABEL, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state_at", _TIME, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("held_by", sa.String(length=16), nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("listed_key", sa.Text(), nullable=False),
        sa.Column("listed_all", sa.Boolean(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("issued", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replay_operations"),
    )
    op.create_index(
        "ix_replay_operations_active",
        "replay_operations",
        ["planned_at"],
        **_where("state IN ('running', 'paused', 'cancelled')"),
    )
    op.create_index("ix_replay_operations_planned_at_id", "replay_operations", ["planned_at", "id"])
    op.create_table(
        "tombstones",
        sa.Column("dead_letter_id", _ID, nullable=False),
        sa.Column("message_id", _LABEL, nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("task", _NAME, nullable=False),
        sa.Column("queue", _NAME, nullable=False),
        sa.Column("group_id", _ID, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("replays", sa.Integer(), nullable=False),
        sa.Column("replay_no", sa.Integer(), nullable=False),
        sa.Column("confirmed_no", sa.Integer(), nullable=True),
        sa.Column("first_failed_at", _TIME, nullable=False),
        sa.Column("last_failed_at", _TIME, nullable=False),
        sa.Column("status_at", _TIME, nullable=False),
        sa.Column("purged_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_message_id", "tombstones", ["message_id"])
    op.create_index("ix_tombstones_purged_at", "tombstones", ["purged_at"])
    op.create_table(
        "dead_letter_views",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("dead_letter_id", _ID, nullable=False),
        sa.Column("view", sa.Text(), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dead_letter_id"], ["dead_letters.id"], name="fk_dead_letter_views_dead_letter_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_dead_letter_views"),
        sa.UniqueConstraint("dead_letter_id", name="uq_dead_letter_views_dead_letter_id"),
    )
    op.create_table(
        "operation_items",
        sa.Column("operation_id", _ID, nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dead_letter_id", _ID, nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("why", sa.String(length=24), nullable=False),
        sa.Column("replay_no", sa.Integer(), nullable=True),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("group_id", _ID, nullable=True),
        sa.Column("new_group_id", _ID, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["replay_operations.id"], name="fk_operation_items_operation_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("operation_id", "seq", name="pk_operation_items"),
    )
    op.create_index(
        "ix_operation_items_dead_letter_id_operation_id",
        "operation_items",
        ["dead_letter_id", "operation_id"],
        unique=True,
    )
    op.create_index(
        "ix_operation_items_operation_id_outcome_seq", "operation_items", ["operation_id", "outcome", "seq"]
    )


def _add_columns() -> None:
    op.add_column("audit_events", sa.Column("operation_id", _ID, nullable=True))
    op.add_column("audit_events", sa.Column("group_id", _ID, nullable=True))
    op.create_index("ix_audit_events_at", "audit_events", ["at"])
    op.create_index("ix_audit_events_group", "audit_events", ["group_id", "seq"], **_where("group_id IS NOT NULL"))
    op.create_index(
        "ix_audit_events_operation", "audit_events", ["operation_id", "seq"], **_where("operation_id IS NOT NULL")
    )
    op.add_column("dead_attempts", sa.Column("group_id", _ID, nullable=True))
    op.add_column("dead_letters", sa.Column("forgiven", sa.Integer(), server_default="0", nullable=False))
    op.add_column("dead_letters", sa.Column("release", _LABEL, server_default="", nullable=False))
    op.add_column("dead_letters", sa.Column("body_digest", _ID, nullable=True))
    op.add_column("dead_letters", sa.Column("emptied_at", _TIME, nullable=True))
    op.create_index("ix_dead_letters_digest", "dead_letters", ["body_digest"], **_where("body_digest IS NOT NULL"))
    op.create_index(
        "ix_dead_letters_bodies",
        "dead_letters",
        ["status_at"],
        **_where("status = 'RESOLVED' AND emptied_at IS NULL"),
    )
    op.create_index("ix_dead_letters_group", "dead_letters", ["group_id", "last_failed_at", "id", "status"])
    op.create_index(
        "ix_dead_letters_retention",
        "dead_letters",
        ["status", "status_at"],
        **_where("status IN ('RESOLVED', 'DISCARDED')"),
    )
    op.create_index("ix_dead_letters_worker", "dead_letters", ["worker", "last_failed_at", "id", "status"])
    op.add_column("replay_items", sa.Column("progress_at", _TIME, nullable=True))
    op.add_column("replay_items", sa.Column("due_at", _TIME, nullable=True))
    op.add_column("replay_items", sa.Column("unconfirmed_at", _TIME, nullable=True))
    op.create_index("ix_replay_items_issued", "replay_items", ["issued_at"], **_where("state = 'issued'"))
    op.create_index("ix_replay_items_operation_id_dead_letter_id", "replay_items", ["operation_id", "dead_letter_id"])


#: What was added to tables that existed before.
_INDEXES = (
    ("ix_audit_events_at", "audit_events"),
    ("ix_audit_events_group", "audit_events"),
    ("ix_audit_events_operation", "audit_events"),
    ("ix_dead_letters_bodies", "dead_letters"),
    ("ix_dead_letters_digest", "dead_letters"),
    ("ix_dead_letters_group", "dead_letters"),
    ("ix_dead_letters_retention", "dead_letters"),
    ("ix_dead_letters_worker", "dead_letters"),
    ("ix_replay_items_issued", "replay_items"),
    ("ix_replay_items_operation_id_dead_letter_id", "replay_items"),
)
_COLUMNS = (
    ("audit_events", "operation_id"),
    ("audit_events", "group_id"),
    ("dead_attempts", "group_id"),
    ("dead_letters", "forgiven"),
    ("dead_letters", "release"),
    ("dead_letters", "body_digest"),
    ("dead_letters", "emptied_at"),
    ("replay_items", "progress_at"),
    ("replay_items", "due_at"),
    ("replay_items", "unconfirmed_at"),
)
_TABLES = ("operation_items", "replay_operations", "dead_letter_views", "dead_groups", "leases", "outbox", "tombstones")


def downgrade() -> None:
    """Take the additions away, with everything in them."""
    for name, table in _INDEXES:
        op.drop_index(name, table)
    for table, column in _COLUMNS:
        op.drop_column(table, column)
    for table in _TABLES:
        op.drop_table(table)


def _where(condition: str) -> Any:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
