"""The written form of messages in lists and while unacknowledged (pure but for kombu's JSON).

A list holds kombu's envelope as JSON. A message in somebody's hands is filed as kombu files it,
``[envelope, exchange, routing key]``, with the default exchange and the queue's name, so that putting it back needs no
binding. Envelopes are never parsed to be filed: what is not even JSON is kept, too.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from kombu.utils.json import loads

#: Header of a message whose envelope could not be read; its body is what lay in the list, byte for byte.
GARBAGE: Final = "fx_garbage"

_BEFORE_QUEUE: Final = b',"","'

#: What kombu knows.
_BODY_ENCODINGS: Final = ("base64", "utf-8")


class Envelope(dict[str, Any]):
    """A message as read from a list.

    Attributes:
        raw: The bytes it was read from.
        queue: The queue they were taken from.
    """

    raw: bytes = b""
    queue: str = ""


def ending(queue: str) -> str:
    """What follows the envelope in the filed form."""
    return f',"",{json.dumps(queue)}]'


def envelope_in(entry: bytes) -> bytes:
    """The envelope in a filed form, as it lay in the list."""
    return entry[1 : entry.rindex(_BEFORE_QUEUE)]


def read_envelope(raw: bytes, queue: str, tag: str) -> Envelope:
    """The message in ``raw``, to be delivered under ``tag``; one that carries the bytes where they are no message."""
    try:
        envelope = Envelope(loads(raw.decode()))
        _require_readable(envelope)
        envelope["properties"]["delivery_tag"] = tag
    except Exception:  # noqa: BLE001 - whatever lies in a list must not end the worker
        return unreadable(raw, queue, tag)
    envelope.raw, envelope.queue = raw, queue
    return envelope


def unreadable(raw: bytes, queue: str, tag: str) -> Envelope:
    """A message nobody can decode, with ``raw`` as its body, so that it ends like any other of that kind."""
    return Envelope(
        {
            "body": base64.b64encode(raw).decode(),
            "content-type": "application/octet-stream",
            "content-encoding": "binary",
            "headers": {GARBAGE: True},
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": queue},
                "delivery_mode": 2,
                "delivery_tag": tag,
                "priority": 0,
            },
        }
    )


def _require_readable(envelope: Envelope) -> None:
    """
    Check what kombu and Celery take for granted; what they stumble over ends the worker.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: a part is missing, of another type, or cannot be decoded.
    """
    properties, body = envelope["properties"], envelope.get("body")
    labels = (envelope.get("content-type"), envelope.get("content-encoding"), properties.get("reply_to"))
    mappings = (envelope.get("headers"), properties.get("delivery_info"))
    if not isinstance(body, str | None) or not all(isinstance(label, str | None) for label in labels):
        raise TypeError("a text is none")
    if not all(isinstance(mapping, dict | None) for mapping in mappings):
        raise TypeError("a mapping is none")
    encoding = properties.get("body_encoding")
    if encoding not in (None, *_BODY_ENCODINGS):
        raise ValueError("unknown encoding of the body")
    if encoding == "base64" and body:
        base64.b64decode(body)


def as_redelivered(raw: bytes) -> bytes:
    """The envelope with kombu's two marks that it was delivered before; unchanged where it cannot be read."""
    try:
        envelope = json.loads(raw)
        envelope["headers"]["redelivered"] = True
        envelope["properties"]["delivery_info"]["redelivered"] = True
        return json.dumps(envelope).encode()
    except Exception:  # noqa: BLE001 - garbage goes back as it is
        return raw
