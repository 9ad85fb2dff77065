"""Work queues whose dead letters the broker itself hands over [kombu].

RabbitMQ: a quorum queue with at-least-once dead-lettering into the dead-letter exchange and a delivery limit, as the
safety net under what the workers capture. Redis ignores the arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kombu import Connection, Exchange, Queue

from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp

#: Returns to the queue before RabbitMQ gives a message up; a worker that stops returns what it holds.
DELIVERY_LIMIT: Final = 20


def work_queue(
    name: str,
    *,
    exchange: Exchange | None,
    routing_key: str | None,
    delivery_limit: int,
    dead_letter_exchange: str,
    dead_letter_queue: str,
    arguments: Mapping[str, Any],
    **options: Any,
) -> Queue:
    """
    The declaration of a work queue.

    Args:
        name: Its name.
        exchange: Where it is bound; a direct exchange of its own name if ``None``.
        routing_key: By which; its name if ``None``.
        delivery_limit: Returns to the queue before the broker dead-letters a message.
        dead_letter_exchange: Where the broker sends what it gives up.
        dead_letter_queue: The queue, and routing key, it ends in.
        arguments: More arguments of the queue; they win.
        options: Of ``kombu.Queue``.
    """
    return Queue(
        name,
        exchange=exchange if exchange is not None else Exchange(name, type="direct", durable=True),
        routing_key=routing_key if routing_key is not None else name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": delivery_limit,
            "x-dead-letter-exchange": dead_letter_exchange,
            "x-dead-letter-routing-key": dead_letter_queue,
            # keeps a message until the dead-letter queue has it; cannot be had without the overflow behaviour
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            **arguments,
        },
        **options,
    )


def declare_dead_letters(connection: Connection, exchange: str, queue: str) -> None:
    """
    Declare the dead-letter exchange and its queue, so that nothing dies into a void; a no-op on Redis.

    Raises:
        Exception: whatever the transport raises.
    """
    if not is_amqp(connection):
        return
    with connection.channel() as channel:
        dead_letter_queue(exchange, queue, amqp=True)(channel).declare()
