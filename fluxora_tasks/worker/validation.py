"""Whether a message is one that Celery can run: asked before a pool slot is taken (pure).

Celery trusts the shape of a message. One that decodes but has another shape stops a worker, is requeued, and stops
the next; some reach the pool and are lost there. Every check here stands for such a message that was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.identity import MESSAGE_ID

#: No task is meant to start later than this; Celery cannot compute with all the moments ISO 8601 can write.
_EARLIEST: Final = datetime(2, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

#: More than any number of retries, and less than a database's column takes.
_MANY: Final = 2**30

Headers = Mapping[str, Any]


class Malformed(ValueError):
    """A message that cannot be run.

    Args:
        kind: The kind of dead letter it makes.
        text: What is wrong, without any of the message's content.
    """

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def check_headers(headers: Headers) -> None:
    """
    Check what Celery reads from the headers of a task message.

    Raises:
        Malformed: the first header of a type Celery would fail on.
    """
    for name, (fits, expected) in _HEADERS.items():
        if name in headers and not fits(headers[name]):
            raise Malformed(Kind.NOT_A_TASK, f"header {name!r} is not {expected}")
    if not _is_text(headers.get("id")):
        raise Malformed(Kind.NOT_A_TASK, "the message has no task id")


def check_payload(payload: Any) -> None:
    """
    Check the decoded body of a task message: (args, kwargs, embed).

    Raises:
        Malformed: another shape.
    """
    if not isinstance(payload, (list, tuple)) or len(payload) != 3:
        raise Malformed(Kind.NOT_A_TASK, "the body is not a list of arguments, keyword arguments and options")
    args, kwargs, embed = payload
    if not isinstance(args, (list, tuple)):
        raise Malformed(Kind.BAD_ARGUMENTS, "the arguments are not a list")
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise Malformed(Kind.BAD_ARGUMENTS, "the keyword arguments are not a mapping of names")
    if not (embed is None or isinstance(embed, Mapping)):
        raise Malformed(Kind.NOT_A_TASK, "the options in the body are not a mapping")
    for name in ("callbacks", "errbacks", "chain"):
        if not isinstance((embed or {}).get(name), (list, tuple, type(None))):
            raise Malformed(Kind.NOT_A_TASK, f"{name} in the body are not a list")
    if not isinstance((embed or {}).get("chord"), (Mapping, type(None))):
        raise Malformed(Kind.NOT_A_TASK, "the chord in the body is not a mapping")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and _can_be_sent(value)


def _maybe_text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and _can_be_sent(value))


def _can_be_sent(value: Any) -> bool:
    """Whether it is no text with a lone surrogate, which is a key of no store."""
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MANY)


def _seconds(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _limits(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_seconds, value)))


def _moment(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, (str, datetime)):
        return False
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return _EARLIEST < moment.replace(tzinfo=moment.tzinfo or UTC) < _LATEST
    except (ValueError, OverflowError):
        return False


def _names(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value))


def _mapping(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


_HEADERS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "id": (_is_text, "a text"),
    "task": (_is_text, "a text"),
    "shadow": (_maybe_text, "a text"),
    "root_id": (_maybe_text, "a text"),
    "parent_id": (_maybe_text, "a text"),
    "group": (_maybe_text, "a text"),
    "group_index": (_count, "a number from 0"),
    "argsrepr": (_maybe_text, "a text"),
    "kwargsrepr": (_maybe_text, "a text"),
    "origin": (_maybe_text, "a text"),
    "lang": (_maybe_text, "a text"),
    "retries": (_count, "a number from 0"),
    "replaced_task_nesting": (_count, "a number from 0"),
    "timelimit": (_limits, "a pair of seconds"),
    "eta": (_moment, "a moment between the years 2 and 2200"),
    "expires": (_moment, "a moment between the years 2 and 2200"),
    "ignore_result": (_flag, "true or false"),
    "stamped_headers": (_names, "a list of names"),
    "stamps": (_mapping, "a mapping"),
    MESSAGE_ID: (_can_be_sent, "a text of Unicode characters"),
}
