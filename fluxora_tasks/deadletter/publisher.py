"""Confirmed publish of notes to the dead-letter exchange [kombu]."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from kombu import Connection, Producer

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, content_type_of, encode
from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp, publish_target

#: Seconds the broker may take to confirm one note.
CONFIRM_TIMEOUT = 10.0


class NotePublisher:
    """Publishes notes one by one, each confirmed by the broker before ``publish`` returns.

    Not safe for threads: one owner. After any error the channel is dropped, because a late confirm on it
    would be taken for that of another message.

    Args:
        connect: Opens a connection of its own to the broker.
        exchange: Name of the dead-letter exchange.
        queue: Name of the dead-letter queue.
    """

    def __init__(self, connect: Callable[[], Connection], exchange: str, queue: str) -> None:
        self._connect, self._exchange, self._queue = connect, exchange, queue
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._target: dict[str, Any] = {}

    def publish(self, note: DeadLetter | Confirmation) -> None:
        """
        Send one note and wait until the broker has it.

        Raises:
            Exception: whatever the transport raises; the note may or may not have arrived.
        """
        try:
            producer = self._producer or self._open()
            producer.publish(
                encode(note),
                content_type=content_type_of(note),
                content_encoding="utf-8",
                delivery_mode=2,
                retry=False,
                message_id=note.run_id,
                **self._target,
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._producer = self._connection, None, None
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
        self._target = publish_target(queue, amqp=amqp) | ({"confirm_timeout": CONFIRM_TIMEOUT} if amqp else {})
        self._producer = Producer(channel, auto_declare=False)
        return self._producer
