"""Confirmed publish of messages that are put off, each with a wait that the broker keeps [kombu].

Where the broker cannot (a transport of another kind, an account that may not declare delay queues), the message goes
back with an ``eta``, and a worker keeps it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kombu import Connection

from fluxora_tasks.deadletter.publisher import CONFIRM_TIMEOUT, Confirms
from fluxora_tasks.deadletter.topology import is_amqp
from fluxora_tasks.transport import amqp_delay
from fluxora_tasks.transport.channel import Channel
from fluxora_tasks.worker.deferral import Deferral

logger = logging.getLogger(__name__)


class DeferralPublisher:
    """Publishes deferrals, all of them confirmed by the broker before ``publish`` returns.

    Not safe for threads: one owner. After any error the channel is dropped, with the confirms still due on it.

    Args:
        connect: Opens a connection of its own to the broker.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._channel: Any = None
        self._confirms: Confirms | None = None
        self._declared: set[Any] = set()
        self._ready: set[tuple[amqp_delay.Target, int]] = set()
        self._can_delay = True

    def publish(self, deferrals: Sequence[Deferral]) -> None:
        """
        Send deferrals and wait until the broker has them all.

        Raises:
            Exception: whatever the transport raises; any of them may or may not have arrived.
        """
        try:
            channel = self._channel or self._open()
            for deferral in deferrals:
                self._send(channel, deferral)
            if self._confirms is not None:
                self._confirms.wait(CONFIRM_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._channel, self._confirms = self._connection, None, None, None
        self._declared, self._ready = set(), set()
        if connection is not None:
            with contextlib.suppress(Exception):  # it is being thrown away
                connection.release()

    def _open(self) -> Any:
        connection = self._connection = self._connect()
        connection.connect()
        channel = connection.channel()
        if is_amqp(connection):
            self._confirms = Confirms(channel)
        self._channel = channel
        return channel

    def _send(self, channel: Any, deferral: Deferral) -> None:
        if self._confirms is not None:
            self._send_amqp(channel, deferral)
            return
        kept = isinstance(channel, Channel)
        options = {"wait": round(deferral.delay * 1000)} if kept else {}
        message = _message(channel, deferral, None if kept else _eta(deferral))
        channel.basic_publish(message, exchange="", routing_key=deferral.queue, **options)

    def _send_amqp(self, channel: Any, deferral: Deferral) -> None:
        way = self._way(deferral)
        if way is None:
            message, exchange, routing_key = _message(channel, deferral, _eta(deferral)), "", deferral.queue
        else:
            message, exchange, routing_key = _message(channel, deferral), way.exchange, way.routing_key
        channel.basic_publish(message, exchange=exchange, routing_key=routing_key, mandatory=True)
        if self._confirms is not None:
            self._confirms.expect()

    def _way(self, deferral: Deferral) -> amqp_delay.Way | None:
        """Through the delay queues, which are declared; ``None`` where they cannot be had."""
        target = amqp_delay.Target("", deferral.queue)
        way = amqp_delay.way_to(target, deferral.delay) if self._can_delay else None
        if way is not None and (target, way.highest) not in self._ready:
            self._can_delay = self._declare(target, way.highest)
        return way if self._can_delay else None

    def _declare(self, target: amqp_delay.Target, highest: int) -> bool:
        """Whether the delay queues are there now."""
        connection = self._connection
        assert connection is not None
        try:
            with connection.channel() as channel:  # one of its own: a refusal closes it
                amqp_delay.declare(channel, target, highest, self._declared)
        except connection.channel_errors as exc:
            if getattr(exc, "reply_code", None) not in amqp_delay.CANNOT_DECLARE:
                raise
            logger.warning("messages that are put off wait in the workers, not in the broker: %s", exc)
            return False
        self._ready.add((target, highest))
        return True


def _message(channel: Any, deferral: Deferral, more: dict[str, Any] | None = None) -> Any:
    properties = dict(deferral.properties)
    return channel.prepare_message(
        deferral.body,
        priority=properties.pop("priority", None),
        content_type=deferral.content_type,
        content_encoding=deferral.content_encoding,
        headers={**deferral.headers, **(more or {})},
        properties=properties,
    )


def _eta(deferral: Deferral) -> dict[str, Any]:
    return {"eta": (datetime.now(UTC) + timedelta(seconds=deferral.delay)).isoformat()}
