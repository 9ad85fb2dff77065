"""Successes that are heard of before the failure of their message."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "early_successes",
        sa.Column(
            "dead_letter_id",
            sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("replay_no", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id", name="pk_early_successes"),
    )
    op.create_index("ix_early_successes_heard_at", "early_successes", ["heard_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("early_successes")
