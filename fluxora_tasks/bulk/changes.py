"""Changes of an operation's state, each with its line in the audit and its event [sqlalchemy]."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select, update

from fluxora_tasks.bulk.operation import Operation, State, check_step, operation_of
from fluxora_tasks.errors import ConflictError, UnknownOperation
from fluxora_tasks.ledger import trail
from fluxora_tasks.ledger.audits import operation_columns
from fluxora_tasks.ledger.models import OperationRow
from fluxora_tasks.ledger.records import Requester
from fluxora_tasks.ledger.rows import LABEL_LENGTH, MESSAGE_LENGTH, storable

OPERATOR: Final = "operator"
SYSTEM: Final = "system"

_row = OperationRow


def locked(connection: Connection, operation_id: str) -> Operation:
    """An operation, its row locked until the transaction ends.

    Raises:
        UnknownOperation: there is none.
    """
    row = connection.execute(select(_row).where(_row.id == operation_id).with_for_update()).one_or_none()
    if row is None:
        raise UnknownOperation(operation_id)
    return operation_of(row)


def move(
    connection: Connection,
    operation: Operation,
    to: State,
    *,
    now: datetime,
    by: Requester | None = None,
    detail: str = "",
    **columns: Any,
) -> None:
    """
    Take an operation to another state, where it is still the version seen.

    Args:
        by: Who wants it; ``None``: it does so by itself.
        detail: What the audit says beside the reason.
        columns: More of the row that changes.

    Raises:
        ConflictError: its state does not lead there, or somebody changed it meanwhile.
    """
    check_step(operation, to)
    written = connection.execute(
        update(_row)
        .where(_row.id == operation.id, _row.version == operation.version)
        .values(state=to.value, version=operation.version + 1, state_at=now, **columns)
    )
    if written.rowcount != 1:
        raise ConflictError(f"operation {operation.id} was changed meanwhile; nothing was done, look again")
    tell(connection, operation.id, operation.state, to, now=now, by=by, detail=detail)


def tell(
    connection: Connection,
    operation_id: str,
    before: State | None,
    after: State,
    *,
    now: datetime,
    by: Requester | None = None,
    detail: str = "",
) -> None:
    """Write the line of the audit and the event of a change."""
    texts = {"detail": storable(detail, MESSAGE_LENGTH)}
    if by is not None:
        texts |= {
            "actor": storable(by.name, LABEL_LENGTH),
            "source": by.source,
            "reason": storable(by.reason, MESSAGE_LENGTH),
        }
    earlier = None if before is None else before.value
    trail.write(connection, [operation_columns(now, operation_id, earlier, after.value, **texts)])
