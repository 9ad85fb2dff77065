"""The ids that tie one story together (pure).

message_id  one message, through retries, redeliveries and replays; idempotency key of handlers
dead_id     one record in the ledger, for ever
run_id      one delivery of a message to a worker
failure_id  one failure; primary key of its attempt row, which makes ingest idempotent
"""

from __future__ import annotations

import uuid

#: Namespace of every derived id. Changing it would make old dead letters come back as new ones.
NAMESPACE = uuid.UUID("3b6ddc9c-3d1e-5f0a-9d43-6a1c0f1f7e52")

#: Headers of ours; every one starts with ``fx_``.
MESSAGE_ID = "fx_message_id"
DEAD_ID = "fx_dead_id"
REPLAY_NO = "fx_replay_no"
REPLAY_OP = "fx_replay_op"
PUBLISH_ID = "fx_publish_id"
FIRST_ATTEMPT_AT = "fx_first_attempt_at"

_SEPARATOR = "\x1f"


def new_id() -> str:
    """A random id in its canonical 36-character form."""
    return str(uuid.uuid4())


def dead_id_for(message_id: str, task: str, queue: str) -> str:
    """The record a message belongs to: the same for every failure of the same message."""
    return str(uuid.uuid5(NAMESPACE, _SEPARATOR.join(("dead", message_id, task, queue))))


def failure_id_for(dead_id: str, run_id: str) -> str:
    """One failure of one delivery: a signal that fires twice still makes one row."""
    return str(uuid.uuid5(NAMESPACE, _SEPARATOR.join(("failure", dead_id, run_id))))
