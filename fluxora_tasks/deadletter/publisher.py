"""Confirmed publish of notes to the dead-letter exchange [kombu]."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from amqp.exceptions import MessageNacked
from kombu import Connection, Producer

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, content_type_of, encode
from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp, publish_target

#: Seconds the broker may take to confirm what was sent.
CONFIRM_TIMEOUT = 10.0


class NotePublisher:
    """Publishes notes, all of them confirmed by the broker before ``publish`` returns.

    Not safe for threads: one owner. After any error the channel is dropped, with the confirms still due on it.

    Args:
        connect: Opens a connection of its own to the broker.
        exchange: Name of the dead-letter exchange.
        queue: Name of the dead-letter queue.
    """

    def __init__(self, connect: Callable[[], Connection], exchange: str, queue: str) -> None:
        self._connect, self._exchange, self._queue = connect, exchange, queue
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._confirms: Confirms | None = None
        self._target: dict[str, Any] = {}

    def publish(self, notes: Sequence[DeadLetter | Confirmation]) -> None:
        """
        Send notes and wait until the broker has them all: for one confirm at the end, not for one after each.

        Raises:
            Exception: whatever the transport raises; any of the notes may or may not have arrived.
        """
        try:
            producer = self._producer or self._open()
            for note in notes:
                self._send(producer, note)
            if self._confirms is not None:
                self._confirms.wait(CONFIRM_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def _send(self, producer: Producer, note: DeadLetter | Confirmation) -> None:
        producer.publish(
            encode(note),
            content_type=content_type_of(note),
            content_encoding="utf-8",
            delivery_mode=2,
            retry=False,
            message_id=note.run_id,
            **self._target,
        )
        if self._confirms is not None:
            self._confirms.expect()

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._producer, self._confirms = self._connection, None, None, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is being thrown away
                connection.release()

    def _open(self) -> Producer:
        connection = self._connection = self._connect()
        connection.connect()
        amqp = is_amqp(connection)
        channel = connection.channel()
        queue = dead_letter_queue(self._exchange, self._queue, amqp=amqp)
        if amqp:
            queue(channel).declare()
            self._confirms = Confirms(channel)
        self._target = publish_target(queue, amqp=amqp)
        self._producer = Producer(channel, auto_declare=False)
        return self._producer


class Confirms:
    """Which messages sent on an AMQP channel the broker has yet to confirm.

    A message that cannot be routed is returned, and py-amqp raises that while it waits.

    Args:
        channel: A fresh one; its publishes return at once from now on.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._sent = 0
        self._due: set[int] = set()
        self._refused = False
        channel.confirm_select()
        channel.basic_publish = channel._basic_publish
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)

    def expect(self) -> None:
        """One more message was sent; the broker counts them in the same way."""
        self._sent += 1
        self._due.add(self._sent)

    def wait(self, limit: float) -> None:
        """
        Wait until nothing is due.

        Raises:
            MessageNacked: the broker refused a message.
            TimeoutError: it took longer than ``limit`` seconds.
        """
        deadline = time.monotonic() + limit
        while self._due and not self._refused:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the broker did not confirm within {limit:g} s")
            self._channel.connection.drain_events(timeout=left)
        if self._refused:
            raise MessageNacked

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._due = {due for due in self._due if due > tag} if multiple else self._due - {tag}

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused = True
