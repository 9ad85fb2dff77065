"""The headers and properties of a replay (pure); the body is sent as it was received.

A replay starts afresh (no retries counted, no expiry, no waiting time) and keeps everything that belongs to the
message: its ids, chain, callbacks, group, reply queue, priority and the user's own headers. Of a message whose headers
are not Celery's only the traces of brokers go, and our own headers are added: a decoder sees what it saw.

However often a message is replayed, its headers do not grow: what we add replaces what we added before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import Kind, Payload
from fluxora_tasks.deadletter.identity import (
    DEAD_ID,
    DEFERRAL_HEADERS,
    FIRST_ATTEMPT_AT,
    MESSAGE_ID,
    ORIGINAL_ID,
    PUBLISH_ID,
    REPLAY_NO,
    REPLAY_OP,
)

#: Left by earlier deliveries; the body has been decompressed, so its label would be wrong.
_DROPPED: Final = frozenset(
    {
        *("redelivered", "compression", "x-delivery-count", "x-acquired-count"),
        *(FIRST_ATTEMPT_AT, REPLAY_OP),
        *DEFERRAL_HEADERS,
    }
)

#: Celery's, of a message for a task: what would end or delay it. In anybody else's message they may mean anything.
_DROPPED_OF_TASKS: Final = frozenset({"expires", "eta"})
_DROPPED_PREFIXES: Final = ("x-death", "x-first-death", "x-last-death")

#: Properties that are texts in every transport. ``expiration`` would let the broker drop the replay, ``user_id``
#: must be that of our own connection, ``timestamp`` was the original's.
_KEPT_TEXTS: Final = ("correlation_id", "reply_to", "message_id", "type", "app_id")

_PERSISTENT: Final = 2
_HIGHEST_PRIORITY: Final = 255

#: Workers keep the task ids of these in their set of revoked ids and drop them without a word.
_BURNT: Final = frozenset({Kind.EXPIRED.value, Kind.REVOKED.value})


def needs_fresh_task_id(kind: str) -> bool:
    """Whether workers would silently discard another message with the same task id."""
    return kind in _BURNT


def rewrite(
    payload: Payload,
    *,
    dead_id: str,
    message_id: str,
    replay_no: int,
    publish_id: str,
    operation_id: str | None = None,
    task_id: str | None = None,
) -> Payload:
    """
    The message as a replay sends it.

    Args:
        payload: As received.
        replay_no: From 1.
        publish_id: Of this physical copy.
        operation_id: Of the bulk operation it is part of.
        task_id: A fresh one, where the old one cannot be sent again; results are stored under both.
    """
    headers = {name: value for name, value in payload.headers.items() if not _is_dropped(name)}
    properties = _properties(payload.properties)
    if isinstance(headers.get("task"), str):
        headers = _afresh(headers, task_id)
        properties |= {"correlation_id": task_id} if task_id else {}
    headers |= {
        MESSAGE_ID: message_id,
        DEAD_ID: dead_id,
        REPLAY_NO: replay_no,
        PUBLISH_ID: publish_id,
    }
    if operation_id:
        headers[REPLAY_OP] = operation_id
    return Payload(payload.body, payload.content_type, payload.content_encoding, headers, properties)


def _is_dropped(name: str) -> bool:
    return name in _DROPPED or name.startswith(_DROPPED_PREFIXES)


def _afresh(headers: Mapping[str, Any], task_id: str | None) -> dict[str, Any]:
    """Celery's headers for another run, under another task id if there is one."""
    kept = {name: value for name, value in headers.items() if name not in _DROPPED_OF_TASKS}
    fresh = {"retries": 0, **({"id": task_id, **_original(headers, task_id)} if task_id else {})}
    return {**kept, **fresh}


def _original(headers: Mapping[str, Any], task_id: str) -> dict[str, str]:
    """The id that the message was first sent with; of a replay of a replay too."""
    first = headers.get(ORIGINAL_ID) or headers.get("id")
    return {ORIGINAL_ID: first} if isinstance(first, str) and first != task_id else {}


def _properties(received: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: received[name] for name in _KEPT_TEXTS if isinstance(received.get(name), str)}
    return {**texts, **_priority(received.get("priority")), "delivery_mode": _PERSISTENT}


def _priority(value: object) -> dict[str, int]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _HIGHEST_PRIORITY:
        return {}
    return {"priority": value}
