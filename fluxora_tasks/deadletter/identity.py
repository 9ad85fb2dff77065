"""The ids that tie one story together (pure).

message_id  one message, through retries, redeliveries and replays; idempotency key of handlers
dead_id     one record in the ledger, for ever
run_id      one delivery of a message to a worker
failure_id  one failure; primary key of its attempt row, which makes ingest idempotent
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

#: Namespace of every derived id. Changing it would make old dead letters come back as new ones.
NAMESPACE = uuid.UUID("3b6ddc9c-3d1e-5f0a-9d43-6a1c0f1f7e52")

#: Headers of ours; every one starts with ``fx_``.
MESSAGE_ID = "fx_message_id"
DEAD_ID = "fx_dead_id"
REPLAY_NO = "fx_replay_no"
REPLAY_OP = "fx_replay_op"
PUBLISH_ID = "fx_publish_id"
FIRST_ATTEMPT_AT = "fx_first_attempt_at"

#: Of a replay under a task id of its own: the id that the message was first sent with, which callers wait on.
ORIGINAL_ID = "fx_original_id"

#: Of a message that was put off for an open circuit: how often since its last run, for how many seconds in all, since
#: when (for people).
DEFERRALS = "fx_deferrals"
DEFERRED_FOR = "fx_deferred_for"
DEFERRED_SINCE = "fx_deferred_since"
DEFERRAL_HEADERS: Final = frozenset({DEFERRALS, DEFERRED_FOR, DEFERRED_SINCE})

_SEPARATOR = "\x1f"

_TIMED: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DEAD_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_HIGHEST_NUMBER: Final = 2**31 - 1


def new_id() -> str:
    """A random id in its canonical 36-character form."""
    return str(uuid.uuid4())


def timed_id() -> str:
    """A random id that begins with its time [RFC 9562, UUID version 7]: many of one hour stand together in an index.

    For ids that nobody types: the first eight characters are the same for a minute.
    """
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return str(uuid.UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62))


def dead_id_for(message_id: str, task: str, queue: str) -> str:
    """The record a message belongs to: the same for every failure of the same message."""
    return _derived("dead", message_id, task, queue)


def failure_id_for(dead_id: str, run_id: str) -> str:
    """One failure of one delivery: a signal that fires twice still makes one row.

    It begins with the time of its run, where that has one: see ``timed_id``.
    """
    derived = _derived("failure", dead_id, run_id)
    return f"{run_id[:13]}-8{derived[15:]}" if _TIMED.fullmatch(run_id) else derived


def claimed_dead_id(headers: Mapping[str, Any]) -> str:
    """The record that a replay says it belongs to; empty where the header is not one that a replay could carry."""
    claimed = headers.get(DEAD_ID)
    return claimed if isinstance(claimed, str) and _DEAD_ID.fullmatch(claimed) else ""


def claimed_replay_no(headers: Mapping[str, Any]) -> int:
    """The number of a replay; 0 for an original message and where the header is not one that a replay could carry."""
    claimed = headers.get(REPLAY_NO)
    if not isinstance(claimed, int) or isinstance(claimed, bool) or not claimed_dead_id(headers):
        return 0
    return claimed if 0 < claimed <= _HIGHEST_NUMBER else 0


def _derived(*parts: str) -> str:
    name = _SEPARATOR.join(parts)
    # a foreign id may hold a lone surrogate, which UTF-8 does not
    return str(uuid.uuid5(NAMESPACE, name.encode("utf-8", "backslashreplace").decode()))
