"""Raw messages of the dead-letter queue, kept unacknowledged until they are settled [kombu].

An intake holds what it received in ``waiting``, oldest first, already read. It settles from the front.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from kombu import Connection, Consumer, Queue

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.topology import is_amqp

T = TypeVar("T")

#: Seconds between two looks at ``stop`` while waiting.
GLANCE: Final = 0.5


class Intake(Protocol[T]):
    """What the recorder needs from a broker; errors of the connection pass through."""

    waiting: deque[T]

    def drain(self, timeout: float) -> bool:
        """Let more messages in; ``False`` if none came in time."""
        ...

    def acknowledge(self, count: int) -> None:
        """Settle the first ``count`` messages, which leave ``waiting``."""
        ...

    def breathe(self, pause: float, stop: threading.Event) -> None:
        """Wait without losing what is held; ends early when ``stop`` is set."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


class ConsumerIntake(Generic[T]):
    """A kombu consumer on any broker.

    Args:
        connection: Its own; established.
        queue: Declared if missing.
        prefetch: Messages held at most.
        read: What to make of a message.
    """

    def __init__(self, connection: Connection, queue: Queue, *, prefetch: int, read: Callable[[Payload], T]) -> None:
        self.waiting: deque[T] = deque()
        self._messages: deque[Any] = deque()
        self._connection, self._read = connection, read
        self._amqp = is_amqp(connection)
        channel = connection.channel()
        # the body must come as it is, not as a text guessed from its encoding
        channel.auto_decode = False
        consumer = Consumer(
            channel,
            [queue],
            on_message=self._take,
            # one that cannot be decompressed arrives here, as it is
            on_decode_error=lambda message, _error: self._take(message),
        )
        consumer.qos(prefetch_count=prefetch)
        consumer.consume()

    def drain(self, timeout: float) -> bool:
        """Let at least one message in; ``False`` if none came in time."""
        if self._amqp:
            self._connection.heartbeat_check()
        try:
            self._connection.drain_events(timeout=timeout)
        except TimeoutError:
            return False
        return True

    def acknowledge(self, count: int) -> None:
        """Settle the first ``count`` messages; AMQP takes one word for all of them."""
        settled = [self._messages.popleft() for _ in range(count)]
        for _ in settled:
            self.waiting.popleft()
        if self._amqp:
            settled[-1].ack(multiple=True)
            return
        for message in settled:
            message.ack()

    def breathe(self, pause: float, stop: threading.Event) -> None:
        """Wait, and keep an AMQP connection alive meanwhile; its prefetch bounds what arrives."""
        end = time.monotonic() + pause
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._amqp:
                self.drain(min(left, GLANCE))
            else:
                stop.wait(left)

    def close(self) -> None:
        """The broker takes back what is held when the connection ends."""

    def _take(self, message: Any) -> None:
        self._messages.append(message)
        self.waiting.append(self._read(payload_of(message)))


def payload_of(message: Any) -> Payload:
    """A kombu message as received."""
    body = message.body
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    properties = message.properties or {}
    return Payload(
        body=bytes(body or b""),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers or {},
        properties={name: value for name, value in properties.items() if name != "application_headers"},
    )


def first_of(waiting: deque[T], count: int) -> Sequence[T]:
    """The oldest messages, which stay."""
    return [waiting[place] for place in range(min(count, len(waiting)))]
