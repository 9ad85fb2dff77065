"""The trail of changes, written in the transaction of the change [sqlalchemy]."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from fluxora_tasks.ledger.audits import Columns, event_of
from fluxora_tasks.ledger.models import AuditEventRow, OutboxRow, table_of
from fluxora_tasks.ledger.statements import insert_all


def write(connection: Connection, audits: Sequence[Columns]) -> None:
    """Write changes and their events."""
    insert_all(connection, table_of(AuditEventRow), audits)
    insert_all(connection, table_of(OutboxRow), [event_of(audit) for audit in audits])
