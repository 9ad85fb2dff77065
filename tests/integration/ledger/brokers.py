"""Queues of a real broker, looked into raw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Queue

#: Queue that the letters of these tests come from.
QUEUE = "demand"


def declare(url: str, name: str = QUEUE) -> None:
    """Make a queue."""
    with Connection(url) as connection:
        Queue(name, durable=True)(connection.default_channel).declare()


def take(url: str, name: str = QUEUE) -> list[Any]:
    """Every message that waits in a queue, taken off it; bodies as bytes."""
    return list(_taken(url, name))


def count(url: str, name: str) -> int:
    """Messages that wait in a queue."""
    with Connection(url) as connection:
        size: int = connection.default_channel.queue_declare(name, passive=True).message_count
        return size


def put(url: str, name: str, body: bytes, **message: Any) -> None:
    """Send raw bytes to a queue."""
    with channel_of(url) as channel:
        prepared = channel.prepare_message(body, **message)
        channel.basic_publish(prepared, exchange="", routing_key=name)


@contextmanager
def channel_of(url: str) -> Iterator[Any]:
    """A channel that hands bodies out as they are."""
    with Connection(url) as connection:
        channel = connection.default_channel
        channel.auto_decode = False
        yield channel


def _taken(url: str, name: str) -> Iterator[Any]:
    with channel_of(url) as channel:
        while (raw := channel.basic_get(name)) is not None:
            message = raw if hasattr(raw, "ack") else channel.message_to_python(raw)
            message.ack()
            yield message
