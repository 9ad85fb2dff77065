"""The trail of changes, as rows (pure): one of the audit for each, and one event that tells of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from fluxora_tasks.ledger.outbox import event_columns
from fluxora_tasks.ledger.records import Requester
from fluxora_tasks.ledger.rows import LABEL_LENGTH, MESSAGE_LENGTH, storable
from fluxora_tasks.ledger.standing import Standing, Status

Columns = dict[str, Any]

#: Names of events where they differ from those of the audit.
_EVENTS: Final = {"replayed": "replaying"}


def audit_columns(
    at: datetime, dead_letter_id: str, event: str, before: Status | None, after: Standing, **texts: Any
) -> Columns:
    """The row of one change of status; ``texts`` are actor, source, reason, detail, operation_id."""
    return {
        "at": at,
        "dead_letter_id": dead_letter_id,
        "event": event,
        "from_status": before.value if before else None,
        "to_status": after.status.value,
        "replay_no": after.replay_no,
        **_SYSTEM,
        **texts,
    }


def group_columns(at: datetime, group_id: str, event: str, before: str | None, after: str, **texts: Any) -> Columns:
    """The row of one change of a group's state."""
    return _of_another(at, f"group_{event}", before, after, {"group_id": group_id, **texts})


def operation_columns(at: datetime, operation_id: str, before: str | None, after: str, **texts: Any) -> Columns:
    """The row of one change of a bulk operation's state."""
    return _of_another(at, f"operation_{after}", before, after, {"operation_id": operation_id, **texts})


def said_by(by: Requester) -> Columns:
    """Who asked for a change, through what, and why; wherever that is stored."""
    return {
        "actor": storable(by.name, LABEL_LENGTH),
        "source": by.source,
        "reason": storable(by.reason, MESSAGE_LENGTH),
    }


_SYSTEM: Final[Columns] = {
    "actor": "system",
    "source": "system",
    "reason": "",
    "detail": "",
    "operation_id": None,
    "group_id": None,
}


def _of_another(at: datetime, event: str, before: str | None, after: str, told: Columns) -> Columns:
    return {
        "at": at,
        "dead_letter_id": "",
        "event": event,
        "from_status": before,
        "to_status": after,
        "replay_no": 0,
        **_SYSTEM,
        **told,
    }


def event_of(audit: Columns) -> Columns:
    """The row of the event that tells of a change."""
    changed = {"from": audit["from_status"], "to": audit["to_status"], "actor": audit["actor"]}
    if audit["dead_letter_id"]:
        name = _message_event(audit)
        told = {"replay_no": audit["replay_no"], "operation": audit["operation_id"]}
        return event_columns(audit["at"], f"message.{name}", audit["dead_letter_id"], **changed, **told)
    family, _, name = audit["event"].partition("_")
    subject: str = audit["group_id"] if family == "group" else audit["operation_id"]
    head = {"head": audit["detail"]} if name in ("merged", "unmerged") else {}
    return event_columns(audit["at"], f"{family}.{name}", subject, **changed, **head)


def _message_event(audit: Columns) -> str:
    event: str = audit["event"]
    if event == "failed":
        return "failed_again" if audit["from_status"] else "dead"
    return _EVENTS.get(event, event)
