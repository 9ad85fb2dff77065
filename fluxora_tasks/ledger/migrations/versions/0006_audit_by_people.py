"""What people did, and what seldom happens, is found in the audit by an index.

The three changes that every message makes are in neither: they cost nothing more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_audit_events_actor", ["actor", "seq"], "actor NOT IN ('system', 'worker')"),
    ("ix_audit_events_event", ["event", "seq"], "event NOT IN ('failed', 'replayed', 'resolved')"),
)


def upgrade() -> None:
    """Make them."""
    for name, columns, condition in _INDEXES:
        partial = sa.text(condition)
        op.create_index(name, "audit_events", columns, sqlite_where=partial, postgresql_where=partial)


def downgrade() -> None:
    """Drop them."""
    for name, *_ in reversed(_INDEXES):
        op.drop_index(name, "audit_events")
