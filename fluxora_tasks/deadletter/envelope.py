"""The recorded form of a message that died, of a replay that goes on, and of one that succeeded (pure).

Travels as JSON through the dead-letter queue and is readable without importing the task.
The body is kept byte for byte: as text where it is UTF-8, else as base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.errors import EnvelopeUnreadable

VERSION: Final = 1

#: Content types of the notes that reach the recorder.
DEAD_LETTER_TYPE: Final = "application/vnd.fluxora.dead-letter+json"
CONFIRMATION_TYPE: Final = "application/vnd.fluxora.confirmation+json"
PROGRESS_TYPE: Final = "application/vnd.fluxora.progress+json"


#: Levels of nesting in headers that are kept; no message needs them, and Python's stack bounds them.
DEEPEST: Final = 100


class Kind(StrEnum):
    """Why a message died; closed list."""

    EXCEPTION = "exception"
    RETRIES_EXHAUSTED = "retries_exhausted"
    NON_RETRYABLE = "non_retryable"
    UNKNOWN_TASK = "unknown_task"
    CONTENT_REFUSED = "content_refused"
    UNDECODABLE = "undecodable"
    NOT_A_TASK = "not_a_task"
    BAD_ARGUMENTS = "bad_arguments"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SOFT_TIME_LIMIT = "soft_time_limit"
    HARD_TIME_LIMIT = "hard_time_limit"
    WORKER_LOST = "worker_lost"
    POISON_SUSPECT = "poison_suspect"
    DELIVERY_LIMIT = "delivery_limit"
    BREAKER_TIMEOUT = "breaker_timeout"
    RETRY_BUDGET = "retry_budget"
    DEADLINE = "deadline"
    BROKER_DLQ = "broker_dlq"
    REJECTED_BY_CODE = "rejected_by_code"
    PUBLISH_FAILED = "publish_failed"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Payload:
    """A message as received: what a replay sends again.

    Attributes:
        body: The bytes as received, after transport encoding and compression were undone.
        content_type: As received; ``None`` where the producer sent none.
        content_encoding: As received.
        headers: Application headers as received (JSON-safe: bytes and dates become text).
        properties: Message properties worth keeping (correlation_id, reply_to, priority, …).
    """

    body: bytes
    content_type: str | None = None
    content_encoding: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What may be shown of a message, searched and listed: nothing that the rules of redaction hide.

    Attributes:
        args: Positional arguments, ``None`` where they are not readable without running code.
        kwargs: Arguments by name, likewise.
        headers: The headers that are not Celery's representations of the arguments.
        note: Why there are no arguments.
    """

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One failure that ended a message's life, with the message.

    Attributes:
        dead_id: The record it belongs to.
        failure_id: This very failure; delivering the note twice changes nothing.
        message_id: The message's own id, stable over retries and replays.
        run_id: The delivery that failed.
        replay_no: 0 for the original message, n for its n-th replay.
        kind: Why it died.
        task: Name of the task; empty where the message names none.
        task_id: Celery's id of the task; empty where the message has none.
        queue: Name of the queue it came from, where a replay goes.
        exchange: Exchange as received ("" is the default exchange).
        routing_key: Routing key as received.
        exception_type: Qualified name (``builtins.ValueError``), or empty.
        message: Text of the exception or of the reason, redacted, cut to 4 KiB.
        traceback: Formatted traceback, redacted, cut to 64 KiB, or empty.
        attempts: Runs of the body under this replay number, this one included.
        failed_at: When the failure was captured.
        first_failed_at: When the first attempt of this message failed, where known; else ``failed_at``.
        worker: Node name of the worker.
        payload: The message as received: sealed, it is neither shown nor searched.
        fingerprint: Which failures it is like, of the failure as it was, before anything was redacted.
        view: What may be shown of the message.
        release: Of the application, as the worker was told.
        gate_unavailable: Nobody could say whether this was the first copy of its replay.
    """

    dead_id: str
    failure_id: str
    message_id: str
    run_id: str
    kind: Kind
    task: str
    task_id: str
    queue: str
    failed_at: datetime
    payload: Payload
    replay_no: int = 0
    exchange: str = ""
    routing_key: str = ""
    exception_type: str = ""
    message: str = ""
    traceback: str = ""
    attempts: int = 1
    first_failed_at: datetime | None = None
    worker: str = ""
    fingerprint: Fingerprint | None = None
    view: View | None = None
    release: str = ""
    gate_unavailable: bool = False


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A message that had died (or was delivered twice) ran to success.

    Attributes:
        dead_id: The record to resolve.
        replay_no: The replay that succeeded; 0 for a redelivered original.
        run_id: The delivery that succeeded.
        succeeded_at: When the worker saw the success.
        worker: Node name of the worker.
        gate_unavailable: Nobody could say whether this was the first copy of its replay.
    """

    dead_id: str
    replay_no: int
    run_id: str
    succeeded_at: datetime
    worker: str = ""
    gate_unavailable: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A replay that has neither succeeded nor failed: its next attempt is on the way.

    Attributes:
        dead_id: Its record.
        replay_no: Its number, from 1.
        run_id: The delivery that ended in a retry.
        seen_at: When the worker saw that.
        due_at: When the next attempt is due, where known.
        worker: Node name of the worker.
    """

    dead_id: str
    replay_no: int
    run_id: str
    seen_at: datetime
    due_at: datetime | None = None
    worker: str = ""


#: Everything that travels through the dead-letter queue.
Note: TypeAlias = DeadLetter | Confirmation | Progress

#: The content type of each kind of note.
CONTENT_TYPES: Final[Mapping[type, str]] = {
    DeadLetter: DEAD_LETTER_TYPE,
    Confirmation: CONFIRMATION_TYPE,
    Progress: PROGRESS_TYPE,
}


def encode(note: Note) -> bytes:
    """The note as UTF-8 JSON; see ``content_type_of`` for how it is labelled."""
    if isinstance(note, DeadLetter):
        document = _dead_letter_document(note)
    else:
        document = {
            name: _to_text(value) if isinstance(value, datetime) else value for name, value in asdict(note).items()
        }
    return json.dumps({"v": VERSION, **document}, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def content_type_of(note: Note) -> str:
    """The content type a note travels under."""
    return CONTENT_TYPES[type(note)]


def decode(content_type: str | None, data: bytes) -> Note:
    """Read a note back. Fields that this release does not know are left out, so that newer workers may add some.

    Raises:
        EnvelopeUnreadable: not one of ours, cut off, or of a newer version.
    """
    try:
        document = json.loads(data.decode("utf-8", "surrogatepass"))
        version = document.pop("v")
    except (ValueError, KeyError, AttributeError, TypeError) as exc:
        raise EnvelopeUnreadable(f"not a dead-letter note: {exc}") from exc
    if version != VERSION:
        raise EnvelopeUnreadable(f"note of version {version!r}; this release reads version {VERSION}")
    try:
        if content_type == CONFIRMATION_TYPE:
            return _confirmation(document)
        if content_type == DEAD_LETTER_TYPE:
            return _dead_letter(document)
        if content_type == PROGRESS_TYPE:
            return _progress(document)
    except (ValueError, KeyError, TypeError) as exc:
        raise EnvelopeUnreadable(f"incomplete note: {exc!r}") from exc
    raise EnvelopeUnreadable(f"unknown content type {content_type!r}")


def view_document(view: View) -> dict[str, Any]:
    """A view as JSON has it; its values are not copied."""
    return {name: getattr(view, name) for name in view.__slots__}


def json_safe(value: Any, levels: int = DEEPEST) -> Any:
    """Headers and properties as JSON can carry them: bytes and unknown types become text.

    Args:
        levels: Levels of nesting that are kept; what lies deeper becomes a text that says so.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) and levels == 0:
        return "[nested too deeply]"
    if isinstance(value, Mapping):
        return {str(key): json_safe(item, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item, levels - 1) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _dead_letter_document(letter: DeadLetter) -> dict[str, Any]:
    document = {name: getattr(letter, name) for name in letter.__slots__}
    document["kind"] = str(letter.kind)
    document["failed_at"] = _to_text(letter.failed_at)
    document["first_failed_at"] = _to_text(letter.first_failed_at) if letter.first_failed_at else None
    document["fingerprint"] = asdict(letter.fingerprint) if letter.fingerprint is not None else None
    document["view"] = view_document(letter.view) if letter.view is not None else None
    payload = letter.payload
    encoding, text = _body_to_text(payload.body)
    document["payload"] = {
        "body": text,
        "body_encoding": encoding,
        "content_type": payload.content_type,
        "content_encoding": payload.content_encoding,
        "headers": json_safe(payload.headers),
        "properties": json_safe(payload.properties),
    }
    return document


def _dead_letter(document: dict[str, Any]) -> DeadLetter:
    payload = dict(document["payload"])
    body = _body_from_text(payload.pop("body_encoding"), payload.pop("body"))
    view = document.get("view")
    return DeadLetter(
        **{
            **_known(document, DeadLetter),
            "kind": Kind(document["kind"]),
            "failed_at": _from_text(document["failed_at"]),
            "first_failed_at": _optional_time(document.get("first_failed_at")),
            "payload": Payload(body=body, **_known(payload, Payload)),
            "fingerprint": _fingerprint(document.get("fingerprint")),
            "view": View(**_known(view, View)) if view else None,
        }
    )


def _confirmation(document: dict[str, Any]) -> Confirmation:
    return Confirmation(**{**_known(document, Confirmation), "succeeded_at": _from_text(document["succeeded_at"])})


def _progress(document: dict[str, Any]) -> Progress:
    return Progress(
        **{
            **_known(document, Progress),
            "seen_at": _from_text(document["seen_at"]),
            "due_at": _optional_time(document.get("due_at")),
        }
    )


def _known(document: Mapping[str, Any], cls: type) -> dict[str, Any]:
    names = _NAMES[cls]
    return {name: value for name, value in document.items() if name in names}


#: What is read of each document; once, not for each note.
_NAMES: Final[Mapping[type, frozenset[str]]] = {
    cls: frozenset(item.name for item in fields(cls)) for cls in (DeadLetter, Payload, View, Confirmation, Progress)
}


def _fingerprint(document: Mapping[str, Any] | None) -> Fingerprint | None:
    if not document:
        return None
    return Fingerprint(str(document["step"]), tuple(map(str, document["parts"])), int(document["version"]))


def _body_to_text(body: bytes) -> tuple[str, str]:
    try:
        return "utf-8", body.decode("utf-8")
    except UnicodeDecodeError:
        return "base64", base64.b64encode(body).decode("ascii")


def _body_from_text(encoding: str, text: str) -> bytes:
    if encoding == "base64":
        return base64.b64decode(text, validate=True)
    return text.encode("utf-8")


def _to_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _optional_time(text: str | None) -> datetime | None:
    return _from_text(text) if text else None


def _from_text(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text!r}")
    return moment.astimezone(UTC)
