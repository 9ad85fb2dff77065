"""Queues of a real broker, looked into raw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        channel = connection.default_channel
        if hasattr(channel, "_size"):  # Redis: a queue without messages is none
            return int(channel._size(name))
        return int(channel.queue_declare(name, passive=True).message_count)


def put(url: str, name: str, body: bytes, **message: Any) -> None:
    """Send raw bytes to a queue."""
    put_all(url, name, [(body, message)])


def put_all(url: str, name: str, messages: Iterable[tuple[bytes, dict[str, Any]]]) -> None:
    """Send raw messages, body and the rest, over one connection."""
    with channel_of(url) as channel:
        for body, rest in messages:
            channel.basic_publish(channel.prepare_message(body, **rest), exchange="", routing_key=name)


@contextmanager
def channel_of(url: str) -> Iterator[Any]:
    """A channel that hands bodies out as they are, and confirms what it is given."""
    with Connection(url, transport_options={"confirm_publish": True} if url.startswith("amqp") else {}) as connection:
        channel = connection.default_channel
        channel.auto_decode = False
        yield channel


def _taken(url: str, name: str) -> Iterator[Any]:
    with channel_of(url) as channel:
        while (raw := channel.basic_get(name)) is not None:
            message = raw if hasattr(raw, "ack") else channel.message_to_python(raw)
            message.ack()
            yield message
