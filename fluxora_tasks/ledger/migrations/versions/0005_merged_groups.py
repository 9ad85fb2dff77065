"""Groups that were merged into another.

Nothing of what was there changes: the release before goes on, and sees an alias as a group of its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_INDEX = "ix_dead_groups_merged"


def upgrade() -> None:
    """Add what is missing."""
    op.add_column("dead_groups", sa.Column("merged_into", _ID, nullable=True))
    is_alias = sa.text("merged_into IS NOT NULL")
    op.create_index(_INDEX, "dead_groups", ["merged_into"], sqlite_where=is_alias, postgresql_where=is_alias)


def downgrade() -> None:
    """Take the addition away; merged groups are groups of their own again."""
    op.drop_index(_INDEX, "dead_groups")
    op.drop_column("dead_groups", "merged_into")
