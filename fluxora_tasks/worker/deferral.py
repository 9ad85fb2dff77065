"""A message that is put off: the same message again, later (pure)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from fluxora_tasks.deadletter.identity import DEFERRALS, DEFERRED_FOR, DEFERRED_SINCE
from fluxora_tasks.task.admission import Waited, waited_of

#: Of this delivery, or over by now. The body was decompressed on arrival.
_DROPPED: Final = frozenset({"eta", "compression", "redelivered", "x-delivery-count", "x-acquired-count"})
_DROPPED_PREFIXES: Final = ("x-death", "x-first-death-", "x-last-death-")

#: ``expiration`` would end the wait; the worker reads the ``expires`` header. ``user_id`` must be the connection's.
_KEPT_PROPERTIES: Final = (
    "correlation_id", "reply_to", "priority", "delivery_mode", "message_id", "timestamp", "type", "app_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deferral:
    """What is published instead of a message, before that is acknowledged.

    Attributes:
        queue: Where the message came from and comes back to.
        body: As received; so are the content type and encoding.
        headers: As received, with those of a deferral.
        properties: As received.
        delay: Seconds in the broker.
    """

    queue: str
    body: bytes
    content_type: str | None
    content_encoding: str | None
    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    delay: float


def deferral_of(message: Any, queue: str, delay: float, now: datetime) -> Deferral:
    """
    A kombu message, put off for an open circuit. No attempt is used: its ``retries`` stay.

    Args:
        now: For people; decides nothing.
    """
    back = put_back(message, queue, delay)
    waited: Waited = waited_of(back.headers)
    more = {
        DEFERRALS: waited.deferrals + 1,
        DEFERRED_FOR: round(waited.seconds + delay, 3),
        DEFERRED_SINCE: back.headers.get(DEFERRED_SINCE) or now.isoformat(timespec="seconds"),
    }
    return replace(back, headers={**back.headers, **more})


def put_back(message: Any, queue: str, delay: float) -> Deferral:
    """A kombu message that comes again as it is, later; that wait counts against no circuit."""
    body, properties = message.body, message.properties or {}
    return Deferral(
        queue=queue,
        body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body or b""),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=_headers(message.headers),
        properties={name: properties[name] for name in _KEPT_PROPERTIES if properties.get(name) is not None},
        delay=delay,
    )


def _headers(received: Any) -> dict[str, Any]:
    headers = received if isinstance(received, Mapping) else {}
    return {name: value for name, value in headers.items() if not _is_dropped(str(name))}


def _is_dropped(name: str) -> bool:
    return name in _DROPPED or name.startswith(_DROPPED_PREFIXES)


class Crowd:
    """How many messages this process put off within the last second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def joined(self, now: float) -> int:
        """One more at this monotonic time; how many there are with it."""
        with self._lock:
            self._times.append(now)
            while self._times[0] <= now - 1.0:
                self._times.popleft()
            return len(self._times)
