"""From a message and its failure to a dead letter, in one place. Nothing here may raise past its caller."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Reject

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Payload, View, json_safe
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import BUILT_IN, Grouping
from fluxora_tasks.deadletter.identity import (
    MESSAGE_ID,
    claimed_dead_id,
    claimed_replay_no,
    dead_id_for,
    failure_id_for,
)
from fluxora_tasks.deadletter.redaction import NO_SECRETS, USUAL, Redaction, Secrets
from fluxora_tasks.deadletter.view import view_of
from fluxora_tasks.task.failure_facts import type_name
from fluxora_tasks.task.fingerprinting import attached_to
from fluxora_tasks.task.outcome import read_mark
from fluxora_tasks.task.representation import secrets_of
from fluxora_tasks.worker.fingerprinting import fingerprint_for

logger = logging.getLogger(__name__)

MESSAGE_LIMIT: Final = 4 * 1024
TRACEBACK_LIMIT: Final = 64 * 1024

#: No message was tried so often; the ledger's column ends at twice that.
_MANY: Final = 2**30

#: Properties of a message that a replay needs or a person wants to see.
_KEPT_PROPERTIES: Final = (
    "correlation_id", "reply_to", "priority", "delivery_mode", "message_id", "timestamp", "type", "user_id", "app_id",
    "expiration",
)  # fmt: skip

_KINDS_BY_TYPE: Final = (
    (TimeLimitExceeded, Kind.HARD_TIME_LIMIT),
    (SoftTimeLimitExceeded, Kind.SOFT_TIME_LIMIT),
    (WorkerLostError, Kind.WORKER_LOST),
    (Reject, Kind.REJECTED_BY_CODE),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message to this worker.

    Attributes:
        message: The kombu message, untouched.
        run_id: Minted for this delivery.
        queue: The queue it came from.
        task: Name of its task, or empty.
        task_id: Celery's id, or empty.
        worker: Node name.
        redaction: What is hidden of the message and its failure.
        parameters: Names of the task's positional parameters, where it is known.
        release: Of the application, or empty.
        grouping: How its failures are grouped.
    """

    message: Any
    run_id: str
    queue: str
    task: str
    task_id: str
    worker: str
    redaction: Redaction = USUAL
    parameters: Sequence[str] = ()
    release: str = ""
    grouping: Grouping = BUILT_IN

    @property
    def headers(self) -> Mapping[str, Any]:
        """Headers as received; empty where they are not a mapping."""
        headers = self.message.headers
        return headers if isinstance(headers, Mapping) else {}

    @property
    def message_id(self) -> str:
        """Our own id of the message; the task id where its producer does not know us; else the run."""
        return str(self.headers.get(MESSAGE_ID) or self.task_id or self.run_id)

    @property
    def dead_id(self) -> str:
        """The record this message belongs to."""
        return claimed_dead_id(self.headers) or dead_id_for(self.message_id, self.task, self.queue)

    @property
    def replay_no(self) -> int:
        """0 for an original message, n for its n-th replay."""
        return claimed_replay_no(self.headers)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a delivery ended its message's life.

    Attributes:
        kind: From the closed list.
        error: The exception, if there is one.
        text: What to say instead of the exception's own words, or where there is none.
        traceback: Formatted, or empty.
        first_failed_at: When the first attempt failed, where known.
        frames: Copied traceback of the error, for one that lost its own on the way.
        fingerprint: As the process that ran the body made it.
    """

    kind: Kind
    error: BaseException | None = None
    text: str = ""
    traceback: str = ""
    first_failed_at: datetime | None = None
    frames: Any = None
    fingerprint: Fingerprint | None = None


def reason_of(info: ExceptionInfo, fallback: Kind) -> Reason:
    """Why a run failed, read from what the pool handed back."""
    error = info.exception
    if isinstance(error, ExceptionWithTraceback):
        error = error.exc
    marked = read_mark(error)
    kind = next((kind for cls, kind in _KINDS_BY_TYPE if isinstance(error, cls)), None)
    if kind is None or (marked and marked[0] is Kind.PUBLISH_FAILED):
        kind = marked[0] if marked else fallback
    return Reason(
        kind,
        error,
        traceback=_text(info.traceback),
        first_failed_at=marked[1] if marked else None,
        frames=info.tb,
        fingerprint=attached_to(info),
    )


def dead_letter(delivery: Delivery, reason: Reason, now: datetime) -> DeadLetter:
    """The dead letter of one failed delivery."""
    info = delivery.message.delivery_info or {}
    retries = delivery.headers.get("retries")
    dead_id, payload = delivery.dead_id, payload_of(delivery.message)
    message, traceback, view, fingerprint = described(delivery, reason, payload)
    return DeadLetter(
        dead_id=dead_id,
        failure_id=failure_id_for(dead_id, delivery.run_id),
        message_id=delivery.message_id,
        run_id=delivery.run_id,
        replay_no=delivery.replay_no,
        kind=reason.kind,
        task=delivery.task,
        task_id=delivery.task_id,
        queue=delivery.queue,
        exchange=str(info.get("exchange") or ""),
        routing_key=str(info.get("routing_key") or ""),
        exception_type=type_name(reason.error) if reason.error is not None else "",
        message=message,
        traceback=traceback,
        attempts=(retries if isinstance(retries, int) and 0 <= retries < _MANY else 0) + 1,
        failed_at=now,
        first_failed_at=reason.first_failed_at or now,
        worker=delivery.worker,
        payload=payload,
        view=view,
        fingerprint=fingerprint,
        release=delivery.release,
    )


def described(delivery: Delivery, reason: Reason, payload: Payload) -> tuple[str, str, View, Fingerprint | None]:
    """Message, traceback, view and fingerprint of a failure, as they may leave the worker."""
    redaction = delivery.redaction
    view, secrets = view_of(payload, delivery.parameters, redaction)
    secrets = secrets.with_those_of(_loaded_secrets(delivery))
    message = reason.text or _text("" if reason.error is None else reason.error)
    return (
        cut(redaction.long_text(message, secrets, MESSAGE_LIMIT), MESSAGE_LIMIT),
        cut(redaction.long_text(reason.traceback, secrets, TRACEBACK_LIMIT), TRACEBACK_LIMIT),
        view,
        fingerprint_for(delivery, reason, secrets),
    )


def _loaded_secrets(delivery: Delivery) -> Secrets:
    """Secrets in arguments that are no JSON, where the worker had loaded them anyway."""
    loaded = getattr(delivery.message, "_decoded_cache", None)
    if delivery.message.content_type == "application/json" or not isinstance(loaded, (list, tuple)):
        return NO_SECRETS
    args, kwargs = (*loaded, None, None)[:2]
    return secrets_of(args, kwargs, delivery.parameters, delivery.redaction)


def confirmation(delivery: Delivery, now: datetime) -> Confirmation:
    """The note that a message which had died, or came twice, ran to success."""
    return Confirmation(delivery.dead_id, delivery.replay_no, delivery.run_id, now, delivery.worker)


def payload_of(message: Any) -> Payload:
    """A kombu message as received. Its body was decompressed on arrival, so the compression header goes."""
    properties = message.properties or {}
    headers = dict(message.headers or {})
    headers.pop("compression", None)
    body = message.body
    return Payload(
        body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body or b""),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=json_safe(headers),
        properties=json_safe({name: properties[name] for name in _KEPT_PROPERTIES if properties.get(name) is not None}),
    )


def cut(text: str, limit: int) -> str:
    """The text, its middle left out where it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2 - 20
    return f"{text[:half]}\n… [{len(text) - 2 * half} characters cut] …\n{text[-half:]}"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001 - foreign code: an error whose text raises is survived
        return f"<{type(value).__name__}, whose text raised {type(exc).__name__}>"
