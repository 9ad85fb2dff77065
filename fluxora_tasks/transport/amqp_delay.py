"""Waiting inside RabbitMQ instead of in a worker's memory [kombu].

A delay is written in binary. For each bit there is a queue whose messages expire after that many milliseconds and are
then dead-lettered to the next lower bit; the bits travel in the routing key. At the end a queue of the target's own
hands the message to its exchange with its routing key, as if it had just been published. Every queue is a quorum queue
with at-least-once dead-lettering: a restart of the broker loses nothing, a target that is missing is waited for.

    publish ─► exchange of the highest bit ─1─► queue 4096ms ─┐expired
                                           └0─────────────────┴─► exchange of the next bit ─ … ─► deliver ─► to.<target>

Why not Celery's own delayed delivery or one queue per delay: docs/decisions/0004-delay-on-rabbitmq.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from kombu import Exchange, Queue

#: Every exchange and queue of ours that messages only pass through.
PREFIX: Final = "fluxora.delay"

#: Shortest and longest level, as powers of two in milliseconds: 64 ms, and 1.1 years.
LOWEST: Final = 6
HIGHEST: Final = 35

#: Milliseconds; nothing is delayed for longer in one go.
LONGEST: Final = (1 << (HIGHEST + 1)) - (1 << LOWEST)

#: Reply codes to a declaration that this account may not make, or that this release of the broker does not know.
CANNOT_DECLARE: Final = frozenset({403, 406, 540})

_DELIVER: Final = f"{PREFIX}.deliver"
_NAME_LENGTH: Final = 200


@dataclass(frozen=True)
class Target:
    """Where a delayed message goes at the end.

    Attributes:
        exchange: Name of its exchange; empty for the default one.
        routing_key: Its routing key; the queue's name with the default exchange.
    """

    exchange: str
    routing_key: str

    @cached_property
    def token(self) -> str:
        """The target as one word of a routing key."""
        return hashlib.sha256(f"{self.exchange}\x1f{self.routing_key}".encode()).hexdigest()[:16]

    @property
    def queue_name(self) -> str:
        """Name of the queue that hands messages to it."""
        name = f"{PREFIX}.to.{self.exchange}.{self.routing_key}" if self.exchange else f"{PREFIX}.to.{self.routing_key}"
        return name if len(name.encode()) <= _NAME_LENGTH else f"{PREFIX}.to.{self.token}"


@dataclass(frozen=True, slots=True)
class Way:
    """How a message starts on its way through the delay queues.

    Attributes:
        highest: The highest bit of its delay.
        exchange: Where to publish it.
        routing_key: The bits, lowest first, and the target's token.
    """

    highest: int
    exchange: str
    routing_key: str


def way_to(target: Target, seconds: float, step: int = 1 << LOWEST) -> Way | None:
    """
    The way of a message that is to arrive in ``seconds``, or up to ``step`` milliseconds earlier.

    Args:
        step: Milliseconds, a power of two from ``2**LOWEST``: shorter waits are left to the worker.

    Returns:
        ``None`` where nothing is left to wait for in the broker.
    """
    milliseconds = min(int(seconds * 1000), LONGEST) // step * step
    if milliseconds <= 0:
        return None
    highest = milliseconds.bit_length() - 1
    bits = (str(milliseconds >> level & 1) for level in range(LOWEST, highest + 1))
    return Way(highest, level_name(highest), f"{'.'.join(bits)}.{target.token}")


def level_name(level: int) -> str:
    """Name of the exchange and of the queue of one bit."""
    return f"{PREFIX}.{1 << level}ms"


def is_delay_queue(name: str) -> bool:
    """Whether a queue is one of these, or one of Celery's own delayed delivery: messages only pass through."""
    return name.startswith(f"{PREFIX}.") or "celery_delayed_" in name


def declare(channel: Any, target: Target, highest: int, done: set[Any]) -> None:
    """
    Declare what a message needs on its way.

    Args:
        channel: Of the connection that will publish.
        highest: Highest bit of the delay.
        done: What was declared on this connection before; added to.
    """
    for level in range(LOWEST, highest + 1):
        if (PREFIX, level) not in done:
            _declare_level(channel, level)
            done.add((PREFIX, level))
    if (PREFIX, target) not in done:
        _declare_target(channel, target)
        done.add((PREFIX, target))


def _declare_level(channel: Any, level: int) -> None:
    """The exchange of one bit and its queue. A level leads to the one beneath, which is declared before it."""
    name = level_name(level)
    beneath = level_name(level - 1) if level > LOWEST else _DELIVER
    place = "*." * (level - LOWEST)
    if level == LOWEST:
        _exchange(_DELIVER)(channel).declare()
    exchange = _exchange(name)(channel)
    exchange.declare()
    _exchange(beneath)(channel).bind_to(exchange.name, routing_key=f"{place}0.#")
    queue = _passage(name, 1 << level, beneath)(channel)
    queue.declare()
    queue.bind_to(exchange.name, routing_key=f"{place}1.#")


def _declare_target(channel: Any, target: Target) -> None:
    queue = _passage(target.queue_name, 0, target.exchange, target.routing_key)(channel)
    _exchange(_DELIVER)(channel).declare()
    queue.declare()
    queue.bind_to(_DELIVER, routing_key=f"#.{target.token}")


def _exchange(name: str) -> Exchange:
    return Exchange(name, type="topic", durable=True)


def _passage(name: str, milliseconds: int, exchange: str, routing_key: str | None = None) -> Queue:
    """A queue whose messages go on to ``exchange`` after so many milliseconds, and stay until they are taken there."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-message-ttl": milliseconds,
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    if routing_key is not None:
        arguments["x-dead-letter-routing-key"] = routing_key
    return Queue(name, durable=True, queue_arguments=arguments)
