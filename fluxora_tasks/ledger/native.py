"""Messages that the broker itself dead-lettered: delivery limit, time to live, overflow, reject.

RabbitMQ puts them into the dead-letter queue as they were, with an ``x-death`` header that tells the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import DeadLetter, Kind, Payload
from fluxora_tasks.deadletter.identity import (
    MESSAGE_ID,
    claimed_dead_id,
    claimed_replay_no,
    dead_id_for,
    failure_id_for,
    timed_id,
)
from fluxora_tasks.transport.amqp_delay import is_delay_queue

_REASONS: Final = {
    "rejected": "rejected without requeue",
    "expired": "time to live passed",
    "maxlen": "queue was full",
    "delivery_limit": "delivered too often without an end",
}


def broker_dead_letter(payload: Payload, *, now: datetime) -> DeadLetter | None:
    """The message as a dead letter; ``None`` without a usable ``x-death`` header."""
    death = _death(payload.headers.get("x-death"))
    if death is None:
        return None
    headers = payload.headers
    queue, reason = str(death.get("queue", "")), str(death.get("reason", ""))
    task, task_id = _text(headers.get("task")), _text(headers.get("id"))
    message_id = _text(headers.get(MESSAGE_ID)) or task_id or _message_property(payload) or timed_id()
    dead_id = claimed_dead_id(headers) or dead_id_for(message_id, task, queue)
    failed_at = _moment(death.get("time"), now)
    run_id = f"x-death:{queue}:{reason}:{death.get('count', 1)}:{failed_at.isoformat()}"
    return DeadLetter(
        dead_id=dead_id,
        failure_id=failure_id_for(dead_id, run_id),
        message_id=message_id,
        run_id=run_id,
        replay_no=claimed_replay_no(headers),
        kind=_kind(reason, headers),
        task=task,
        task_id=task_id,
        queue=queue,
        exchange=_text(death.get("exchange")),
        routing_key=_first_text(death.get("routing-keys")) or queue,
        message=f"{reason}: {_REASONS.get(reason, 'dead-lettered by the broker')}, in queue {queue}",
        attempts=0,
        failed_at=failed_at,
        payload=payload,
    )


def _kind(reason: str, headers: Mapping[str, Any]) -> Kind:
    """The kind; a time to live is the task's own only where the task has one."""
    if reason == "delivery_limit":
        return Kind.DELIVERY_LIMIT
    if reason == "expired" and headers.get("expires"):
        return Kind.EXPIRED
    return Kind.BROKER_DLQ


def _death(value: object) -> Mapping[str, Any] | None:
    """The entry that tells where the message died: the newest one. Delay queues are only passed through."""
    entries = [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
    named = [entry for entry in entries if entry.get("queue")]
    died = (entry for entry in named if not is_delay_queue(str(entry["queue"])))
    return next(died, named[0] if named else None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _first_text(value: object) -> str:
    return _text(value[0]) if isinstance(value, list) and value else ""


def _message_property(payload: Payload) -> str:
    properties = payload.properties
    return _text(properties.get("message_id")) or _text(properties.get("correlation_id"))


def _moment(value: object, now: datetime) -> datetime:
    """The time of an entry; the client library hands it out without its zone, which is UTC."""
    if not isinstance(value, datetime):
        return now
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
