"""What alembic runs around each migration: it works on the connection and in the transaction it is given."""

from __future__ import annotations

from alembic import context

from fluxora_tasks.ledger.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
