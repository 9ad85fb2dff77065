"""The tables of the ledger [sqlalchemy].

dead_letters       one row per record: where it stands, its newest failure, its first message as received
dead_letter_views  what may be shown of a record and searched in it
dead_attempts      one row per failure; its key makes ingest idempotent
dead_groups        one row per fingerprint
replay_items       one row per claimed replay; at most one active per record
replay_operations  one row per bulk operation
operation_items    one row per record of a bulk operation
audit_events       one row per change of a status or state, append only
outbox             one row per event for other programs
failed_imports     raw messages of the dead-letter queue that could not become a record
early_successes    successes of messages without a record: their failure may still be on its way
tombstones         what is left of a purged record
leases             what only one process does at a time
"""

from fluxora_tasks.ledger.models.base import AnyRow, Base, UtcDateTime, table_of
from fluxora_tasks.ledger.models.dead_letters import (
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    EarlySuccessRow,
    FailedImportRow,
    TombstoneRow,
)
from fluxora_tasks.ledger.models.events import AuditEventRow, OutboxRow
from fluxora_tasks.ledger.models.groups import GroupRow
from fluxora_tasks.ledger.models.replays import LeaseRow, OperationItemRow, OperationRow, ReplayItemRow

__all__ = [
    "AnyRow",
    "AuditEventRow",
    "Base",
    "DeadAttemptRow",
    "DeadLetterRow",
    "DeadLetterViewRow",
    "EarlySuccessRow",
    "FailedImportRow",
    "GroupRow",
    "LeaseRow",
    "OperationItemRow",
    "OperationRow",
    "OutboxRow",
    "ReplayItemRow",
    "TombstoneRow",
    "UtcDateTime",
    "table_of",
]
