"""Names and declarations of the dead-letter exchange and its queue [kombu].

RabbitMQ: a durable direct exchange bound to a quorum queue. Redis has no exchanges that keep a message:
an unbound one drops it silently, so there the publish goes straight to the queue by name.
"""

from __future__ import annotations

from typing import Any

from kombu import Connection, Exchange, Queue

#: Redis only: the recorder files unacknowledged messages under keys of its own. A shared key would let its short
#: visibility timeout hand the running tasks of live workers out a second time.
RECORDER_UNACKED = "fluxora.recorder.unacked"
RECORDER_VISIBILITY = 30


def is_amqp(connection: Connection) -> bool:
    """Whether the broker knows exchanges, confirms and returns."""
    return bool(connection.transport.driver_type == "amqp")


def dead_letter_queue(exchange: str, name: str, *, amqp: bool) -> Queue:
    """The queue every dead letter ends in, with the exchange it comes through."""
    return Queue(
        name,
        exchange=Exchange(exchange, type="direct", durable=True),
        routing_key=name,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"} if amqp else None,
    )


def publish_target(queue: Queue, *, amqp: bool) -> dict[str, Any]:
    """Keyword arguments of a publish that ends in ``queue``."""
    if amqp:
        return {"exchange": queue.exchange.name, "routing_key": queue.routing_key, "mandatory": True}
    return {"exchange": "", "routing_key": queue.name}


def recorder_transport_options(options: dict[str, Any], *, amqp: bool) -> dict[str, Any]:
    """The application's transport options, changed for the recorder's own connection."""
    if amqp:
        return dict(options)
    return {
        **options,
        "unacked_key": RECORDER_UNACKED,
        "unacked_index_key": f"{RECORDER_UNACKED}_index",
        "unacked_mutex_key": f"{RECORDER_UNACKED}_mutex",
        "visibility_timeout": RECORDER_VISIBILITY,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    }
