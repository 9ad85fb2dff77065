"""Where a message came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def queue_of(app: Any, delivery: Any) -> str:
    """
    The queue a message came from: where a replay of it goes.

    Found by exchange and routing key among the queues of the application; the default exchange routes by queue name.

    Args:
        app: A Celery app.
        delivery: What has the ``delivery_info`` of the message: itself, or the request of its task.
    """
    info = delivery.delivery_info if isinstance(delivery.delivery_info, Mapping) else {}
    exchange, routing_key = str(info.get("exchange") or ""), str(info.get("routing_key") or "")
    if not exchange:
        return routing_key
    for name, queue in app.amqp.queues.items():
        if queue.exchange and queue.exchange.name == exchange and queue.routing_key == routing_key:
            return str(name)
    return routing_key
