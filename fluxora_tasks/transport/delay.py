"""How long a message has to wait (pure).

A wait is kept by the broker and handed to nobody before it is over. It is measured on the publisher's clock, from now
to the ``eta`` header, and ends on the server's: the clocks of producers, server and workers may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

#: Seconds. A shorter wait is the worker's, to the millisecond. Every consumer looks at the delayed messages once a
#: second, so a wait of more than that cannot begin and end unseen.
SHORTEST: Final = 1.2

#: Seconds. A longer wait is a mistake, which the worker that gets the message puts on record.
LONGEST: Final = 10 * 365.25 * 86_400


def wait_of(message: Mapping[str, Any], now: float) -> int | None:
    """
    Milliseconds until a message is due, if the broker has to keep it so long.

    Args:
        message: kombu's envelope.
        now: Seconds since the epoch.
    """
    headers = message.get("headers")
    eta = headers.get("eta") if isinstance(headers, dict) else None
    due = _timestamp(eta) if eta else None
    if due is None or not SHORTEST < due - now < LONGEST:
        return None
    return round((due - now) * 1000)


def delayed_member(list_key: str, envelope: str) -> str:
    """A message's form among the delayed ones; ``list_key`` is where it goes."""
    return f"{list_key}\0{envelope}"


def delayed_envelope(member: bytes) -> bytes:
    """The message in that form."""
    return member.partition(b"\0")[2]


def _timestamp(eta: object) -> float | None:
    """Seconds since the epoch; ``None`` for what is no time, or one without a zone, which only the worker knows."""
    try:
        moment = eta if isinstance(eta, datetime) else datetime.fromisoformat(str(eta))
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
