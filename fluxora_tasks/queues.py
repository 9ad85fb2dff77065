"""queue(name): a work queue that loses nothing, for applications that declare their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu import Exchange, Queue

from fluxora_tasks.deadletter.queues import DELIVERY_LIMIT, work_queue
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.settings import Settings, load_settings

#: What a queue of this library is made of; another value would undo it.
_FIXED = ("x-queue-type", "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy", "x-overflow")


def queue(
    name: str,
    *,
    delivery_limit: int = DELIVERY_LIMIT,
    exchange: Exchange | None = None,
    routing_key: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Queue:
    """
    A queue for ``task_queues`` whose dead letters the broker hands to the ledger.

    On RabbitMQ a quorum queue with at-least-once dead-lettering and a delivery limit; on Redis an ordinary queue.
    RabbitMQ refuses it where a queue of this name exists with other arguments: cover those by a policy
    (docs/how-to/rabbitmq-policy.md).

        app.conf.task_queues = [queue("demand"), queue("reports", delivery_limit=5)]

    Args:
        name: Its name.
        delivery_limit: Returns to the queue before RabbitMQ gives a message up, from 1. A worker that is stopped
            returns what it holds, so this is not a number of failures.
        exchange: Where it is bound; ``None``: a direct exchange of its own name.
        routing_key: By which; ``None``: its name.
        arguments: More arguments of the queue, such as ``x-max-length`` or ``x-message-ttl``.
        settings: As given to ``install``; ``None``: from ``FLUXORA_*`` variables and defaults.
        options: Of ``kombu.Queue``.

    Raises:
        ConfigurationError: the limit is below 1, or an argument would undo what the queue is for.
    """
    arguments = arguments or {}
    if not isinstance(delivery_limit, int) or isinstance(delivery_limit, bool) or delivery_limit < 1:
        raise ConfigurationError(f"queue({name!r}): delivery_limit takes a whole number from 1")
    for fixed in _FIXED:
        if fixed in arguments:
            raise ConfigurationError(f"queue({name!r}) sets {fixed} itself; use kombu.Queue for a queue without it")
    settings = settings or load_settings()
    return work_queue(
        name,
        exchange=exchange,
        routing_key=routing_key,
        delivery_limit=delivery_limit,
        dead_letter_exchange=settings.dead_letter_exchange,
        dead_letter_queue=settings.dead_letter_queue,
        arguments=arguments,
        **options,
    )
