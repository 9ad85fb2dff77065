"""Sends and receives numbers, as the tests of the transport do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from kombu import Connection, Consumer, Producer, Queue

from tests.waiting import wait_until


def send(
    connection: Connection,
    numbers: Iterable[int],
    queue: str = "work",
    delay: float | None = None,
    **options: Any,
) -> None:
    """Publish one message per number; with ``delay``, due in so many seconds."""
    headers = {} if delay is None else {"eta": (datetime.now(UTC) + timedelta(seconds=delay)).isoformat()}
    with connection.channel() as channel:
        producer = Producer(channel)
        for number in numbers:
            producer.publish({"number": number}, routing_key=queue, headers=headers, **options)


class Inbox:
    """What a consumer was given and has not acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.messages: list[Any] = []

    @property
    def numbers(self) -> list[int]:
        """In the order of arrival."""
        return [message.payload["number"] for message in self.messages]

    def wait_for(self, count: int, limit: float = 10.0) -> Sequence[int]:
        """The numbers, once there are so many."""
        wait_until(lambda: self.drained() and len(self.messages) >= count, limit, f"{count} messages")
        return self.numbers

    def acknowledge_all(self) -> None:
        """Settle everything that came."""
        for message in self.messages:
            message.ack()
        self.messages.clear()

    def drained(self) -> bool:
        """Take everything that comes within 0.2 s of the last; always true, to be part of a condition."""
        while True:
            try:
                self.connection.drain_events(timeout=0.2)
            except TimeoutError:
                return True


@contextmanager
def consuming(connection: Connection, *queues: str, prefetch: int = 0, no_ack: bool = False) -> Iterator[Inbox]:
    """Consume for the block; what is not acknowledged goes back after it."""
    inbox = Inbox(connection)
    with connection.channel() as channel:
        consumer = Consumer(
            channel,
            [Queue(queue, no_declare=True) for queue in queues or ("work",)],
            on_message=inbox.messages.append,
            no_ack=no_ack,
        )
        if prefetch:
            consumer.qos(prefetch_count=prefetch)
        with consumer:
            yield inbox
