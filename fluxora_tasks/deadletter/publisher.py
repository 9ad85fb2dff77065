"""Confirmed publish of notes to the dead-letter exchange [kombu]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import Connection, Producer

from fluxora_tasks.deadletter.confirming import ConfirmedPublisher
from fluxora_tasks.deadletter.envelope import Note, content_type_of, encode
from fluxora_tasks.deadletter.topology import dead_letter_queue, publish_target


class NotePublisher(ConfirmedPublisher[Note]):
    """
    Publishes notes, all of them confirmed.

    Args:
        connect: Opens a connection of its own to the broker.
        exchange: Name of the dead-letter exchange.
        queue: Name of the dead-letter queue.
    """

    def __init__(self, connect: Callable[[], Connection], exchange: str, queue: str) -> None:
        super().__init__(connect)
        self._exchange, self._queue = exchange, queue
        self._producer: Producer | None = None
        self._target: dict[str, Any] = {}

    def _opened(self, channel: Any, *, amqp: bool) -> None:
        queue = dead_letter_queue(self._exchange, self._queue, amqp=amqp)
        if amqp:
            queue(channel).declare()
        self._target = publish_target(queue, amqp=amqp)
        self._producer = Producer(channel, auto_declare=False)

    def _send(self, channel: Any, item: Note) -> None:
        assert self._producer is not None, "made with the channel"
        self._producer.publish(
            encode(item),
            content_type=content_type_of(item),
            content_encoding="utf-8",
            delivery_mode=2,
            retry=False,
            message_id=item.run_id,
            **self._target,
        )
        if self._confirms is not None:
            self._confirms.expect()
