"""Confirmed publish of messages that are put off, each with a wait that the broker keeps [kombu].

Where the broker cannot (a transport of another kind, an account that may not declare delay queues), the message goes
back with an ``eta``, and a worker keeps it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from kombu import Connection

from fluxora_tasks.deadletter.confirming import ConfirmedPublisher
from fluxora_tasks.transport import amqp_delay
from fluxora_tasks.transport.channel import Channel
from fluxora_tasks.worker.deferral import Deferral

logger = logging.getLogger(__name__)


class DeferralPublisher(ConfirmedPublisher[Deferral]):
    """
    Publishes deferrals, all of them confirmed.

    Args:
        connect: Opens a connection of its own to the broker.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        super().__init__(connect)
        self._declared: set[Any] = set()
        self._ready: set[tuple[amqp_delay.Target, int]] = set()
        self._can_delay = True

    def _opened(self, channel: Any, *, amqp: bool) -> None:
        self._declared, self._ready = set(), set()

    def _send(self, channel: Any, item: Deferral) -> None:
        if self._confirms is not None:
            self._send_amqp(channel, item)
            return
        kept = isinstance(channel, Channel)
        options = {"wait": round(item.delay * 1000)} if kept else {}
        message = _message(channel, item, None if kept else _eta(item))
        channel.basic_publish(message, exchange="", routing_key=item.queue, **options)

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
