"""A channel: publishes to lists or among the delayed messages, consumes what it files, puts back the rest [kombu]."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import redis
from kombu.transport import redis as plain
from kombu.utils.json import dumps
from kombu.utils.scheduling import priority_cycle
from redis.backoff import NoBackoff
from redis.retry import Retry

from fluxora_tasks.transport.delay import delayed_envelope, delayed_member, wait_of
from fluxora_tasks.transport.fetch import DUE, Fetcher, TakeRequest
from fluxora_tasks.transport.filing import ending, read_envelope
from fluxora_tasks.transport.holding import Holding, Keys
from fluxora_tasks.transport.liveness import Heart, leave_behind
from fluxora_tasks.transport.scripts import DELAY, MOVE, TAKE
from fluxora_tasks.transport.window import Message, QoS

logger = logging.getLogger(__name__)

#: Acknowledgements that wait at most before they are written · and seconds between writes outside an event loop.
_UNWRITTEN: Final = 100
_WRITE_EVERY: Final = 0.01

#: Delayed messages removed by one command.
_PURGED: Final = 500

#: Seconds the heart waits for an answer.
_HEART_TIMEOUT: Final = 5.0


class Channel(plain.Channel):
    """A channel to a server named by its address."""

    QoS = QoS
    Message = Message

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._one_client: Any = None
        self._holding: Holding | None = None
        self._heart: Heart | None = None
        self._thread: int | None = None
        self._written_at = 0.0
        #: Queues whose consumers want no acknowledgement.
        self.unfiled_queues: set[str] = set()
        self._lists: dict[tuple[str, ...], list[str]] = {}
        self.fetcher = Fetcher(self)
        super().__init__(*args, **kwargs)
        self.handlers["WATCH"] = self._on_watch

    # -- facts --------------------------------------------------------------------------------------------------

    @functools.cached_property
    def keys(self) -> Keys:
        """Names on the server."""
        return Keys.of(self.global_keyprefix, self.unacked_key)

    @property
    def loop(self) -> Any:
        """The event loop, if there is one."""
        return self.connection.cycle.loop if self.connection is not None else None

    @property
    def in_loop(self) -> bool:
        """Whether there is one."""
        return self.loop is not None

    @property
    def files(self) -> bool:
        """Whether any queue's messages have to be acknowledged."""
        return self._holding is not None

    @property
    def unwritten(self) -> int:
        """Acknowledgements the server does not know yet."""
        return self._holding.unwritten if self._holding is not None else 0

    @property
    def holding(self) -> Holding:
        """What this channel holds; the first use makes it a consumer."""
        if self._holding is None:
            self._holding = Holding(self.keys, self.execute)
            self._heart = Heart(self._holding, self._heart_connection)
        return self._holding

    def is_forgotten(self) -> bool:
        """Whether the server no longer knows this consumer."""
        return self._holding is not None and not self.execute("EXISTS", self.keys.consumers)

    def queues_in_turn(self) -> list[str]:
        """Queues to fetch from, in kombu's order."""
        active = self.active_queues
        return list(self._queue_cycle.consume(len(active)))

    def lists_of(self, queues: Sequence[str]) -> list[str]:
        """Their lists, by priority."""
        order = tuple(queues)
        if order not in self._lists:
            if len(self._lists) > 100:
                self._lists.clear()
            self._lists[order] = [
                self.global_keyprefix + self._q_for_pri(queue, priority)
                for priority in self.priority_steps
                for queue in order
            ]
        return self._lists[order]

    def take_arguments(self, request: TakeRequest, holding: Holding | None) -> tuple[list[str], list[Any]]:
        """Keys and arguments of ``take.lua``."""
        keys, consumer = self.keys, holding.consumer if holding is not None else ""
        names = [keys.unacked, keys.held(consumer), keys.consumers, keys.delayed, *request.lists]
        options = [consumer, request.limit, request.first, len(request.queues), int(self._fair), DUE]
        endings = [self._ending(queue, holding) for queue in request.queues]
        return names, [*options, len(request.done), *request.done, *endings]

    def _ending(self, queue: str, holding: Holding | None) -> str:
        return "" if holding is None or queue in self.unfiled_queues else ending(queue)

    @property
    def _fair(self) -> bool:
        return not isinstance(self._queue_cycle, priority_cycle)

    # -- connections --------------------------------------------------------------------------------------------

    def conn_or_acquire(self, client: Any = None) -> Any:
        """kombu builds a client for every command; one is enough."""
        return super().conn_or_acquire(client or self._shared_client())

    def execute(self, *command: Any) -> Any:
        """Send one command with names as they are on the server; safe for threads."""
        return redis.Redis.execute_command(self._shared_client(), *command)

    def watching_connection(self) -> Any:
        """For ``Watch``: known to the poller, like the one that fetches."""
        return _another(self.async_pool)

    def _heart_connection(self) -> Any:
        return _another(self.pool, socket_timeout=_HEART_TIMEOUT, health_check_interval=0, retry=Retry(NoBackoff(), 0))

    def _shared_client(self) -> Any:
        if self._one_client is None:
            self._one_client = self._create_client()
        return self._one_client

    def _execute_once(self, *command: Any) -> Any:
        """Send a command that must not be sent again on an error."""
        pool = self.pool
        connection = pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        except self.connection_errors:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def _disconnect_pools(self) -> None:
        self._one_client = None
        super()._disconnect_pools()

    def _after_fork(self) -> None:
        """In a child: the parent is the consumer; its sockets and its event loop are not ours."""
        self._registered = False
        self.fetcher.after_fork()
        heart, self._heart, self._holding = self._heart, None, None
        if heart is not None:
            heart.after_fork()
        super()._after_fork()

    # -- publishing ---------------------------------------------------------------------------------------------

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        wait = kwargs.pop("wait", None) or wait_of(message, time.time())
        if wait is None:
            super()._put(queue, message, **kwargs)
            return
        priority = self._get_message_priority(message, reverse=False)
        member = delayed_member(self.global_keyprefix + self._q_for_pri(queue, priority), dumps(message))
        batch = kwargs.get("_publish_batch")
        if batch is not None:
            batch.add("eval", DELAY.source, 1, self.keys.delayed, wait, member)
        else:
            DELAY.run(self.execute, [self.keys.delayed], [wait, member])

    def delayed_messages(self) -> Iterator[bytes]:
        """Envelopes of all messages that wait for their time, in no order."""
        for member, _ in self._shared_client().zscan_iter(self.keys.delayed, count=500):
            yield delayed_envelope(member)

    def _purge(self, queue: str) -> int:
        lists = {name.encode() for name in self.lists_of([queue])}
        members = (member for member, _ in self._shared_client().zscan_iter(self.keys.delayed, count=_PURGED))
        waiting = (member for member in members if member.partition(b"\0")[0] in lists)
        purged = 0
        while some := list(islice(waiting, _PURGED)):
            purged += self.execute("ZREM", self.keys.delayed, *some)
        return int(super()._purge(queue)) + purged

    # -- consuming ----------------------------------------------------------------------------------------------

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue."""
        if queue not in self._fanout_queues:
            self._note_consumer(queue, files=self.ack_emulation and not no_ack)
            self.fetcher.on_consume()
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _note_consumer(self, queue: str, *, files: bool) -> None:
        if files:
            self.unfiled_queues.discard(queue)
            _ = self.holding
        else:
            self.unfiled_queues.add(queue)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """One message at once, or ``None``."""
        holding = self.holding if self.ack_emulation and not no_ack else None
        number = holding.reserve(1) if holding is not None else 0
        raw = self._take_one(queue, holding, number)
        self._maybe_update_queues_expire(self._shared_client(), queue)
        if raw is None:
            return None
        tag = holding.tag(number) if holding is not None else self._next_delivery_tag()
        message = self.Message(read_envelope(raw, queue, tag), channel=self)
        if not no_ack:
            self.qos.append(message, tag)
        return message

    def _take_one(self, queue: str, holding: Holding | None, number: int) -> bytes | None:
        request = TakeRequest([queue], self.lists_of([queue]), 1, number)
        keys, args = self.take_arguments(request, holding)
        _, due, *taken = TAKE.run(self._execute_once, keys, args)
        if not taken and due:
            MOVE.run(self.execute, [self.keys.delayed, *(name.decode() for name in due)], [DUE])
            _, _, *taken = TAKE.run(self._execute_once, keys, args)
        return taken[1] if taken else None

    def note_thread(self) -> None:
        """The calling thread is the one that waits: it writes acknowledgements when it comes by."""
        self._thread = threading.get_ident()

    def settle(self, tag: str) -> None:
        """A message is done with."""
        holding = self._holding
        if holding is None or not holding.owns(tag):
            return
        unwritten = holding.acknowledge(tag)
        if self.closed:
            return  # written by whoever puts the rest back, if that is still to come
        if threading.get_ident() != self._thread:
            holding.flush()
            if self.fetcher.full and self.connection is not None:
                self.connection.cycle.ring()
        elif unwritten >= _UNWRITTEN or (not self.in_loop and time.monotonic() - self._written_at > _WRITE_EVERY):
            holding.flush()
            self._written_at = time.monotonic()
        elif not self.in_loop and unwritten == 1 and self._heart is not None:
            self._heart.call()

    def deliver_taken(self) -> bool:
        """Hand over what was taken; whether there was anything."""
        delivered = False
        while self.fetcher.taken:
            delivered |= self.fetcher.deliver()
        return delivered

    def _brpop_read(self, **_: Any) -> bool:
        """kombu's name for reading what a fetch brought."""
        self.fetcher.read()
        return self.in_loop and self.deliver_taken()

    def _on_watch(self) -> bool:
        self.fetcher.on_watch()
        return self.in_loop and self.deliver_taken()

    def _basic_cancel(self, consumer_tag: str) -> Any:
        queue = self._tag_to_queue.get(consumer_tag)
        answer = super()._basic_cancel(consumer_tag)
        if queue is not None and queue not in self._active_queues:
            try:
                self.fetcher.put_queue_back(queue)
            except self.connection_errors:
                logger.info("messages of queue %s are put back later: the connection broke", queue)
            self.unfiled_queues.discard(queue)
        return answer

    def close(self) -> None:
        """Put back what is not acknowledged, then close."""
        if not self.closed:
            self._let_go()
        super().close()

    def _let_go(self) -> None:
        errors = (*self.connection_errors, self.ResponseError)
        try:
            self.fetcher.close()
        except errors:
            logger.debug("the last fetch has no answer", exc_info=True)
        heart, self._heart = self._heart, None
        if heart is None or self._holding is None:
            return
        heart.stop()
        try:
            self._holding.put_all_back()
        except errors as exc:
            leave_behind(self._holding)
            logger.warning("messages in hand are put back later: %s: %s", type(exc).__name__, exc)
        if self._qos is not None:
            self._qos._delivered.clear()


class SentinelChannel(Channel, plain.SentinelChannel):
    """A channel to the master that the sentinels name."""


def _another(pool: Any, **changes: Any) -> Any:
    """A connection like those of a pool, and not one of them. Protocol 2: reports come as messages."""
    settings = {name: value for name, value in pool.connection_kwargs.items() if not name.startswith("maint_")}
    return pool.connection_class(**{**settings, "protocol": 2, **changes})
