"""What an installed app publishes: confirmed by the broker, routed to a queue, delayed outside the workers [celery].

Celery resolves the route of a task inside ``send_task`` and then calls ``app.amqp.send_task_message`` with a producer.
``Outgoing`` puts a producer of its own there, so that everything is decided by then and every way of sending a task
(``apply_async``, ``retry``, canvas, beat) comes through.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from celery import Celery
from celery.utils.quorum_queues import detect_quorum_queues
from celery.utils.time import maybe_iso8601, maybe_make_aware
from kombu import Connection, Queue
from kombu.common import Broadcast
from kombu.exceptions import OperationalError

from fluxora_tasks.transport import amqp_delay

logger = logging.getLogger(__name__)

#: Seconds the broker may take to confirm one message, and to read it.
CONFIRM_TIMEOUT: Final = 10.0
WRITE_TIMEOUT: Final = 30.0

#: Milliseconds a worker may hold a message: little where waiting ones block its prefetch window (quorum queues).
_STEP: Final = 1024
_STEP_STATIC_PREFETCH: Final = 1 << amqp_delay.LOWEST

#: Seconds; anything shorter waits in a worker whose prefetch window grows with what it holds.
_HELD: Final = 2.0

#: AMQP's reply codes of a message that no queue takes, and of an exchange that does not exist.
_NO_ROUTE, _NOT_FOUND = 312, 404

#: Left by the way through delay and dead-letter queues. RabbitMQ drops a message that passes a queue it has
#: expired in before, and reads that from this header.
_DEATHS: Final = ("x-death", "x-first-death-", "x-last-death-")

Options = dict[str, Any]


class PublishFailed(OperationalError):
    """A message was not taken by the broker; whoever sent it still has it and decides what to do."""


@dataclass(frozen=True, slots=True)
class _Letter:
    """One message on its way out.

    Attributes:
        producer: Celery's producer.
        name: Name of the task.
        body: Not serialised yet.
        options: Of ``kombu.Producer.publish``.
        declare: What must exist first.
        must_route: Whether it is an error if no queue takes it.
    """

    producer: Any
    name: str
    body: Any
    options: Options
    declare: tuple[Any, ...]
    must_route: bool

    @property
    def exchange(self) -> str:
        """Name of the exchange it goes to."""
        exchange = self.options.get("exchange")
        return str(getattr(exchange, "name", exchange) or "")

    @property
    def routing_key(self) -> str:
        """Its routing key."""
        return str(self.options.get("routing_key") or "")


class Outgoing:
    """
    The way out of one app.

    Args:
        app: The Celery app.
        dead_letters: The dead-letter queue as declared on RabbitMQ, with its exchange.
    """

    def __init__(self, app: Celery, dead_letters: Queue) -> None:
        self._app = app
        self._dead_letters = dead_letters
        self._can_delay = True

    def prepare(self, options: MutableMapping[str, Any]) -> None:
        """
        Take charge of the message that ``app.send_task`` is about to send; call it first, each time.

        Args:
            options: Keyword arguments of ``send_task``; changed where Celery's own delayed delivery would step in.
        """
        self._attach()
        if (options.get("countdown") or options.get("eta")) and self._would_celery_delay():
            eta = _eta_text(self._app, options.pop("countdown", None), options.pop("eta", None))
            options["headers"] = {**(options.get("headers") or {}), "eta": eta}

    def _attach(self) -> None:
        amqp = self._app.amqp
        inner = amqp.send_task_message
        if getattr(inner, "outgoing", None) is not self:
            amqp.send_task_message = self._guarded(inner)

    def _guarded(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            eta, event = (options.get("headers") or {}).get("eta"), message.sent_event
            if event and eta:
                event["eta"] = eta
            return inner(_TaskProducer(producer, self, name, _must_route(options)), name, message, **options)

        send_task_message.outgoing = self  # type: ignore[attr-defined]
        return send_task_message

    def _would_celery_delay(self) -> bool:
        """Whether ``send_task`` would use its delay queues, which take whole seconds and topic exchanges only."""
        return self._app.conf.task_protocol == 2 and self._is_amqp() and self._has_static_prefetch()

    def _is_amqp(self) -> bool:
        connection = self._app.producer_pool.connections.connection
        return bool(connection.transport.driver_type == "amqp")

    def _has_static_prefetch(self) -> bool:
        """Whether workers cannot fetch more while they hold messages that wait."""
        return bool(detect_quorum_queues(self._app, "amqp")[0])

    # -- publishing -----------------------------------------------------------------------------------------------

    def publish(self, letter: _Letter) -> Any:
        """
        Publish a task message; return when the broker has it, or its delay queues.

        Raises:
            PublishFailed: the broker is away, or no queue takes the message; tried as often as the policy says.
        """
        connection = letter.producer.connection
        attempt = self._attempt if connection.transport.driver_type == "amqp" else _attempt_virtual
        retry, policy = letter.options.pop("retry", False), letter.options.pop("retry_policy", None) or {}

        def publish() -> Any:
            return attempt(letter)

        if retry:
            connection.transport_options.update(policy)
            publish = connection.ensure(letter.producer, publish, **policy)
        try:
            return publish()
        except PublishFailed:
            _drop(letter.producer)
            raise
        except OperationalError as exc:
            _drop(letter.producer)
            raise PublishFailed(_not_taken(letter, connection, exc)) from exc
        except BaseException:
            # a confirm that comes late would be taken for that of the next message on this channel
            _drop(letter.producer)
            raise

    def _attempt(self, letter: _Letter) -> Any:
        try:
            return self._publish_amqp(letter)
        except letter.producer.connection.channel_errors as exc:
            if _code(exc) not in (_NO_ROUTE, _NOT_FOUND):
                raise
        # somebody deleted what this connection has declared before: declare it again, once
        _renew_channel(letter.producer)
        try:
            return self._publish_amqp(letter)
        except letter.producer.connection.channel_errors as exc:
            if _code(exc) not in (_NO_ROUTE, _NOT_FOUND):
                raise
            raise PublishFailed(_not_routed(letter)) from exc

    def _publish_amqp(self, letter: _Letter) -> Any:
        producer, options = letter.producer, dict(letter.options)
        self._declare(letter)
        if (options.get("headers") or {}).get("expires"):
            # the broker would drop it where no worker sees it; the worker reads the header, and keeps what expired
            options.pop("expiration", None)
        self._delay(letter, options)
        if self._confirms():
            _confirm(producer.channel)
            options["confirm_timeout"] = options.get("confirm_timeout") or CONFIRM_TIMEOUT
            options["timeout"] = options.get("timeout") or WRITE_TIMEOUT
            options.setdefault("mandatory", letter.must_route)
        try:
            return producer.publish(letter.body, retry=False, declare=[], **options)
        except TimeoutError as exc:
            # not tried again: a broker that is short of memory reads every copy later, and all of them would run
            raise PublishFailed(_not_confirmed(letter, producer.connection)) from exc

    def _confirms(self) -> bool:
        """Whether to wait for confirms: yes, unless the app has said no."""
        return bool((self._app.conf.broker_transport_options or {}).get("confirm_publish", True))

    def _declare(self, letter: _Letter) -> None:
        """Declare the queue; before it, where its dead letters go."""
        producer, ours = letter.producer, self._dead_letters
        for entity in letter.declare:
            arguments = getattr(entity, "queue_arguments", None) or {}
            if arguments.get("x-dead-letter-exchange") == ours.exchange.name:
                producer.maybe_declare(ours)
            producer.maybe_declare(entity)

    def _delay(self, letter: _Letter, options: Options) -> None:
        """Send a message that is not due yet through the delay queues."""
        headers = options.get("headers") or {}
        seconds = _seconds_until_due(self._app, headers)
        static = seconds > 0 and self._has_static_prefetch()
        if not self._can_delay or (not static and seconds <= _HELD):
            return
        target = amqp_delay.Target(letter.exchange, letter.routing_key)
        way = amqp_delay.way_to(target, seconds, _STEP_STATIC_PREFETCH if static else _STEP)
        if way is not None and self._declare_way(letter.producer, target, way):
            options |= {"exchange": way.exchange, "routing_key": way.routing_key}

    def _declare_way(self, producer: Any, target: amqp_delay.Target, way: amqp_delay.Way) -> bool:
        """Whether the delay queues are there; where they cannot be had, messages wait in the workers as ever."""
        connection = producer.connection
        try:
            amqp_delay.declare(producer.channel, target, way.highest, connection.declared_entities)
        except connection.channel_errors as exc:
            if _code(exc) not in amqp_delay.CANNOT_DECLARE:
                raise
            logger.warning("messages that are not due wait in the workers, not in the broker: %s", exc)
            self._can_delay = False
            _renew_channel(producer)
            return False
        return True


class _TaskProducer:
    """Celery's producer with another way to publish tasks; events go through untouched."""

    def __init__(self, producer: Any, outgoing: Outgoing, name: str, must_route: bool) -> None:
        self._producer, self._outgoing = producer, outgoing
        self._name, self._must_route = name, must_route

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def publish(self, body: Any, **options: Any) -> Any:
        """As ``kombu.Producer.publish``."""
        if "correlation_id" not in options:
            return self._producer.publish(body, **options)
        headers = options.get("headers")
        if headers:
            options["headers"] = {key: value for key, value in headers.items() if not key.startswith(_DEATHS)}
        declare = tuple(options.pop("declare", None) or ())
        letter = _Letter(self._producer, self._name, body, options, declare, self._must_route)
        return self._outgoing.publish(letter)


def _must_route(options: Mapping[str, Any]) -> bool:
    """Whether a message that no queue takes is lost: not where nobody need listen, nor where a plugin holds it."""
    queue = options.get("queue")
    if isinstance(queue, Broadcast) or options.get("exchange_type") == "fanout":
        return False
    return getattr(getattr(queue, "exchange", None), "type", options.get("exchange_type")) != "x-delayed-message"


def _attempt_virtual(letter: _Letter) -> Any:
    """Publish on a transport without exchanges of its own, where a missing binding loses the message in silence."""
    producer = letter.producer
    for entity in letter.declare:
        producer.maybe_declare(entity)
    if letter.exchange and letter.must_route and not _is_bound(producer.channel, letter):
        raise PublishFailed(_not_routed(letter))
    return producer.publish(letter.body, retry=False, declare=[], **letter.options)


def _is_bound(channel: Any, letter: _Letter) -> bool:
    lookup = getattr(channel, "_lookup", None)
    if lookup is None or channel.typeof(letter.exchange).type == "fanout":
        return True
    return bool(lookup(letter.exchange, letter.routing_key))


def _confirm(channel: Any) -> None:
    """Make every publish on this channel wait for the broker's confirm, as ``confirm_publish`` does from its start."""
    confirmed = getattr(channel, "basic_publish_confirm", None)
    if confirmed is not None and channel.basic_publish != confirmed:
        channel.basic_publish = confirmed


def _renew_channel(producer: Any) -> None:
    """Another channel for a producer, on which nothing counts as declared."""
    connection = producer.connection
    with contextlib.suppress(*connection.channel_errors, *connection.connection_errors):
        producer.channel.close()
    connection.revive(None)
    connection.declared_entities.clear()
    producer.revive(connection.default_channel)


def _drop(producer: Any) -> None:
    """Close the socket of a producer without a word; its next use opens another."""
    connection: Connection | None = producer.connection
    if connection is not None:
        with contextlib.suppress(Exception):  # what it says no longer matters
            connection.collect()
        producer.revive(connection)


def _seconds_until_due(app: Celery, headers: Mapping[str, Any]) -> float:
    """Seconds from now to a message's ``eta``; 0 where it has none that can be read."""
    try:
        eta = maybe_iso8601(headers.get("eta"))
        if eta is None:
            return 0.0
        due = maybe_make_aware(eta, app.timezone)
        return float((due - datetime.now(due.tzinfo)).total_seconds())
    except (ValueError, TypeError, OverflowError, AttributeError):
        return 0.0  # the worker's to complain about


def _eta_text(app: Celery, countdown: float | None, eta: datetime | str | None) -> str | None:
    """The ``eta`` header as ``celery.app.amqp.AMQP.as_task_v2`` writes it."""
    if countdown:
        eta = maybe_make_aware(app.now() + timedelta(seconds=countdown), tz=app.timezone)
    return eta.isoformat() if isinstance(eta, datetime) else eta


def _code(exc: BaseException) -> int:
    return int(getattr(exc, "reply_code", None) or getattr(exc, "code", None) or 0)


def _route(letter: _Letter) -> str:
    if not letter.exchange:
        return f"queue {letter.routing_key!r}"
    return f"exchange {letter.exchange!r} with routing key {letter.routing_key!r}"


def _not_routed(letter: _Letter) -> str:
    return (
        f"task {letter.name} was not sent: no queue takes messages for {_route(letter)}; start a worker that consumes "
        "it, or declare the queue in task_queues, then send again"
    )


def _not_confirmed(letter: _Letter, connection: Connection) -> str:
    return (
        f"task {letter.name} may not have been sent to {_route(letter)}: the broker at {connection.as_uri()} did not "
        "confirm it in time; check its alarms (memory, disk) and whether the task runs before you send it again"
    )


def _not_taken(letter: _Letter, connection: Connection, cause: BaseException) -> str:
    reason = f"{cause}".strip() or type(cause.__cause__ or cause).__name__
    return (
        f"task {letter.name} was not sent to {_route(letter)}: the broker at {connection.as_uri()} did not take it "
        f"({reason}); check that it runs, can be reached and has memory and disk left, then send again"
    )
