"""Builders of notes for the tests of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Payload
from fluxora_tasks.deadletter.identity import dead_id_for, failure_id_for

#: When the first failure of every story happens.
START = datetime(2000, 6, 5, 12, 0, 0, 123456, tzinfo=UTC)

BODY = b'[["2000-06-05"], {"region": "GB"}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


def moment(seconds: float) -> datetime:
    """A time after ``START``."""
    return START + timedelta(seconds=seconds)


def headers_of(message_id: str, **more: Any) -> dict[str, Any]:
    """Headers as Celery sends them."""
    return {"id": message_id, "task": "demand.ingest", "lang": "py", "retries": 3, "root_id": message_id, **more}


def letter(
    message_id: str = "m1", *, run: str = "r1", replay_no: int = 0, at: float = 0.0, **changes: Any
) -> DeadLetter:
    """One failure of one message; equal arguments make an equal note."""
    task, queue = changes.pop("task", "demand.ingest"), changes.pop("queue", "demand")
    dead_id = changes.pop("dead_id", None) or dead_id_for(message_id, task, queue)
    fields: dict[str, Any] = {
        "dead_id": dead_id,
        "failure_id": failure_id_for(dead_id, run),
        "message_id": message_id,
        "run_id": run,
        "replay_no": replay_no,
        "kind": Kind.RETRIES_EXHAUSTED,
        "task": task,
        "task_id": message_id,
        "queue": queue,
        "routing_key": queue,
        "exception_type": "builtins.ValueError",
        "message": f"failure {run}",
        "traceback": f"Traceback of {run}",
        "attempts": 4,
        "failed_at": moment(at),
        "worker": "w1@desk",
        "payload": Payload(
            BODY,
            "application/json",
            "utf-8",
            headers_of(message_id),
            {"correlation_id": message_id, "reply_to": "answers", "priority": 3, "delivery_mode": 2},
        ),
    }
    return DeadLetter(**(fields | changes))


def success(of: DeadLetter, replay_no: int, *, run: str = "ok", at: float = 100.0) -> Confirmation:
    """A success of a letter's record."""
    return Confirmation(of.dead_id, replay_no, run, moment(at), "w1@desk")
