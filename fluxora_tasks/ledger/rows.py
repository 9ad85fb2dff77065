"""A note as columns (pure): bounded, and free of what a text column cannot hold.

NUL characters (PostgreSQL) and lone surrogates (UTF-8) become visible escapes in texts; the body stays as it is,
and headers are JSON, which escapes both without loss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Progress, json_safe
from fluxora_tasks.deadletter.identity import MESSAGE_ID

#: Longest stored forms: characters of an id, bytes of the others. Names are indexed, which bounds them.
ID_LENGTH: Final = 64
NAME_LENGTH: Final = 512
LABEL_LENGTH: Final = 255
MESSAGE_LENGTH: Final = 4 * 1024
TRACEBACK_LENGTH: Final = 64 * 1024

_INTEGER_LIMIT: Final = 2**31

_dumps: Final = json.JSONEncoder(separators=(",", ":"), default=json_safe).encode


class UnstorableNote(ValueError):
    """A note that reads as one of ours but cannot become a record."""


def storable(value: object, limit: int) -> str:
    """A text as a database can hold it, cut to ``limit`` bytes of UTF-8.

    Raises:
        UnstorableNote: not a text.
    """
    if not isinstance(value, str):
        raise UnstorableNote(f"expected a text, got {type(value).__name__}")
    if "\x00" in value:
        value = value.replace("\x00", "\\x00")
    if value.isascii():
        return value if len(value) <= limit else value[:limit]
    return value.encode("utf-8", "backslashreplace")[:limit].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter made ready to be stored.

    Attributes:
        key: Its place among the failures of its record: by replay, time, id; compares as text.
        texts: What is shown of it, as stored.
    """

    letter: DeadLetter
    key: str
    texts: dict[str, str]


def entry_of(letter: DeadLetter) -> Entry:
    """
    Raises:
        UnstorableNote: a text is none.
    """
    moment = letter.failed_at.astimezone(UTC).isoformat(timespec="microseconds")
    texts = {
        "kind": letter.kind.value,
        "exception_type": storable(letter.exception_type, NAME_LENGTH),
        "worker": storable(letter.worker, LABEL_LENGTH),
        "message": storable(letter.message, MESSAGE_LENGTH),
        "traceback": storable(letter.traceback, TRACEBACK_LENGTH),
    }
    return Entry(letter, f"{letter.replay_no:010d}|{moment}|{letter.failure_id}", texts)


def check_letter(letter: DeadLetter) -> None:
    """
    Raises:
        UnstorableNote: an id is missing or too long, or a field has the wrong type.
    """
    _check_id("dead_id", letter.dead_id)
    _check_id("failure_id", letter.failure_id)
    _check_count("replay_no", letter.replay_no)
    _check_count("attempts", letter.attempts)
    if not isinstance(letter.kind, Kind) or not isinstance(letter.payload.body, bytes):
        raise UnstorableNote("kind or body has the wrong type")
    if not isinstance(letter.payload.headers, Mapping) or not isinstance(letter.payload.properties, Mapping):
        raise UnstorableNote("headers or properties are no mapping")
    if letter.view is not None and not isinstance(letter.view.headers, Mapping):
        raise UnstorableNote("what may be shown has the wrong type")
    for moment in (letter.failed_at, letter.first_failed_at or letter.failed_at):
        if moment.tzinfo is None:
            raise UnstorableNote(f"time without zone: {moment!r}")


def check_outcome(note: Confirmation | Progress) -> None:
    """
    Raises:
        UnstorableNote: as for a letter.
    """
    _check_id("dead_id", note.dead_id)
    _check_count("replay_no", note.replay_no)
    storable(note.worker, LABEL_LENGTH)


def attempt_columns(entry: Entry) -> dict[str, Any]:
    """The row of a failure."""
    letter = entry.letter
    return {
        "failure_id": letter.failure_id,
        "dead_letter_id": letter.dead_id,
        "replay_no": letter.replay_no,
        "failed_at": letter.failed_at,
        "attempts": letter.attempts,
        "trimmed": False,
        "run_id": storable(letter.run_id, LABEL_LENGTH),
        "group_id": group_of(letter),
        **entry.texts,
    }


def kept_columns(entry: Entry) -> dict[str, Any]:
    """The columns that follow the first failure of a record: its message as received."""
    letter, payload = entry.letter, entry.letter.payload
    return {
        "kept_key": entry.key,
        "message_id": storable(letter.message_id, LABEL_LENGTH),
        "task": storable(letter.task, NAME_LENGTH),
        "task_id": storable(letter.task_id, LABEL_LENGTH),
        "queue": storable(letter.queue, NAME_LENGTH),
        "exchange": storable(letter.exchange, NAME_LENGTH),
        "routing_key": storable(letter.routing_key, NAME_LENGTH),
        "content_type": _label(payload.content_type),
        "content_encoding": _label(payload.content_encoding),
        "headers": as_json(payload.headers),
        "properties": as_json(payload.properties),
        "body": payload.body,
        "size": len(payload.body),
        "body_digest": digest_of(letter),
    }


def shown_columns(entry: Entry) -> dict[str, Any]:
    """The columns that follow the newest failure of a record."""
    name = entry.texts["exception_type"].rpartition(".")[2]
    return {
        "shown_key": entry.key,
        "exception_name": name,
        "group_id": group_of(entry.letter),
        "release": storable(entry.letter.release, LABEL_LENGTH),
        **entry.texts,
    }


def group_of(letter: DeadLetter) -> str | None:
    """The group of a failure; ``None`` where nobody computed one."""
    return letter.fingerprint.group_id if letter.fingerprint is not None else None


def digest_of(letter: DeadLetter) -> str | None:
    """What tells messages apart that have no id of their own; ``None`` for all others."""
    if letter.task_id or MESSAGE_ID in letter.payload.headers:
        return None
    return hashlib.sha256(letter.payload.body).hexdigest()


def as_json(value: Any) -> str:
    """JSON in ASCII: NUL and surrogates are escaped, nothing is lost.

    Raises:
        UnstorableNote: nested too deeply.
    """
    try:
        return _dumps(value)
    except TypeError:
        # names that are not texts: only a note made in process has them
        return _dumps(json_safe(value))
    except RecursionError as exc:
        raise UnstorableNote("headers nested too deeply") from exc


def _label(value: object) -> str | None:
    return None if value is None else storable(value, LABEL_LENGTH)


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str) or not value or storable(value, ID_LENGTH) != value:
        raise UnstorableNote(f"{name} is not a text of 1 to {ID_LENGTH} characters")


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _INTEGER_LIMIT:
        raise UnstorableNote(f"{name} is not a number from 0 to {_INTEGER_LIMIT - 1}")
