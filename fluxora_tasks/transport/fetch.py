"""Fetches messages for one channel: acknowledgements out and messages in, one script per turn of the loop [kombu].

Sent before the loop waits and read when the answer is there, like kombu's BRPOP, so that the loop never blocks.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from fluxora_tasks.transport.delay import delayed_member, wait_of
from fluxora_tasks.transport.filing import read_envelope
from fluxora_tasks.transport.scripts import MOVE, TAKE
from fluxora_tasks.transport.watch import Watch

logger = logging.getLogger(__name__)

#: Messages per script at most · the same for a channel without a prefetch limit · acknowledgements · due messages.
_MOST: Final = 200
_UNLIMITED: Final = 16
_DONE: Final = 200
DUE: Final = 200

#: Seconds a small refill waits for more to be finished.
_GATHER: Final = 0.002

#: Seconds in a consumer's callback that make it one that works there (solo pool), and should not keep others' work.
_SLOW: Final = 0.05

#: Seconds between looks at everything where nothing happens · where the server does not report changes.
_REST: Final = 1.0
_POLL: Final = 0.1


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that left its list.

    Attributes:
        filed: Whether it is filed as unacknowledged.
    """

    queue: str
    list_key: str
    tag: str
    raw: bytes
    filed: bool


@dataclass(frozen=True, slots=True)
class TakeRequest:
    """A script under way."""

    queues: Sequence[str]
    lists: Sequence[str]
    limit: int
    first: int
    done: Sequence[str] = ()
    moves: bool = False
    tracks: bool = False


class Fetcher:
    """
    The fetching half of a channel.

    Args:
        channel: Has the connection, the queues, the prefetch window and what is held.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._watch: Watch | None = None
        self._request: TakeRequest | None = None
        self._due: Sequence[bytes] = ()
        self._empty = True  # the last fetch left nothing in the lists
        self._resting = False  # and the server will report the next message
        self._poked = False
        self._refused = False
        self._slow = False
        self._wake_at = self._alarm_at = float("inf")
        self._answered_at = float("-inf")
        self.taken: deque[Taken] = deque()
        #: No room at the last turn: an acknowledgement has to wake the loop.
        self.full = False

    # -- sending ------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Send what there is to send, before the loop waits."""
        channel = self._channel
        cycle = channel.connection.cycle
        if not cycle._client_registered(channel, channel.client, "BRPOP"):
            self._connected(cycle)
        if self.taken and channel.in_loop:
            channel.loop.call_soon(channel.deliver_taken)  # a callback raised in the midst of them
        if self._request is not None:
            return
        room = self._room()
        self.full = room <= 0
        if time.monotonic() >= self._wake_at:
            self._poked = True
        if self._poked:
            self._send(max(room, 0))
        elif channel.unwritten or (room > 0 and not self._resting):
            if self._is_small(room):
                self._wake_within(_GATHER - (time.monotonic() - self._answered_at))
            else:
                self._send(max(room, 0))

    def on_consume(self) -> None:
        """A queue was added: its lists are not reported on yet."""
        self._resting = False

    def rest(self) -> float:
        """Seconds until the next turn has something to do by itself."""
        return max(self._wake_at - time.monotonic(), 0.0)

    def on_watch(self) -> None:
        """
        A list was reported to have changed.

        Raises:
            ConnectionError: the database was emptied, queues and bindings too: the consumer has to declare them anew.
        """
        watch = self._watch
        if watch is None:
            return
        try:
            if watch.read() and self._channel.is_forgotten():
                raise ConnectionResetError("the database was emptied")
        except self._channel.connection_errors:
            watch.connection.disconnect()
            raise
        self._resting = False
        self.turn()
        if self._request is not None:
            self.read()  # one round trip, as kombu's filing is; another turn of the loop would take longer

    def _room(self) -> int:
        """Messages that may be taken now."""
        qos = self._channel.qos
        if not self._channel.active_queues or not qos.can_consume():
            return 0
        if "can_consume" in vars(qos):  # Celery's worker_disable_prefetch, which knows no number
            return 0 if self.taken else 1
        free = qos.can_consume_max_estimate()
        if free is None:
            return 0 if self.taken else _UNLIMITED
        return min(int(free) - len(self.taken), _MOST)

    def _is_small(self, room: int) -> bool:
        """Whether a refill may wait: there is work in hand, and a fetch was only just made."""
        window = self._channel.qos.prefetch_count
        return bool(room < window // 2 and time.monotonic() - self._answered_at < _GATHER)

    def _connected(self, cycle: Any) -> None:
        """The fetching connection is new, or new to the loop."""
        channel = self._channel
        self._request, self._resting, self._due = None, False, ()
        cycle._register(channel, channel.client, "BRPOP")
        self._close_watch()
        watch = Watch(channel.watching_connection())
        if watch.open(channel.client.connection):
            self._watch = watch
            cycle._register(channel, watch, "WATCH")
        self._sleep(0.0)

    def _send(self, room: int) -> None:
        channel = self._channel
        request = self._request_for(room)
        connection = channel.client.connection
        try:
            connection.send_packed_command(connection.pack_commands(self._commands(request)))
        except channel.connection_errors:
            self._disconnected(connection, request)
            raise
        self._request, self._poked = request, False
        channel._in_poll, channel._brpop_sent_at = connection, time.monotonic()

    def _request_for(self, room: int) -> TakeRequest:
        channel = self._channel
        queues, holding = channel.queues_in_turn(), self._holding
        one_by_one = not channel.in_loop and (self._slow or channel.unfiled_queues)
        limit = min(room, 1) if one_by_one else room
        return TakeRequest(
            queues,
            channel.lists_of(queues),
            limit,
            holding.reserve(limit) if holding is not None else 0,
            holding.claim_done(_DONE) if holding is not None else (),
            bool(self._due),
            self._watch is not None and self._empty and room > 0 and not self._resting,
        )

    def _commands(self, request: TakeRequest) -> list[tuple[Any, ...]]:
        commands = [TAKE.command(*self._channel.take_arguments(request, self._holding))]
        if request.moves:
            lists = [name.decode() for name in self._due]
            commands.insert(0, MOVE.command([self._channel.keys.delayed, *lists], [DUE]))
        if request.tracks:
            commands += Watch.commands(request.lists)
        return commands

    @property
    def _holding(self) -> Any:
        """``None`` where no queue's messages have to be acknowledged."""
        return self._channel.holding if self._channel.files else None

    # -- receiving ----------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take the answer in; what was taken stands in ``taken``."""
        connection = self._channel.client.connection
        request, self._request = self._request, None
        try:
            if request is None:
                connection.can_read(timeout=0)  # the server closed the connection
                return
            moved = self._answer(connection) if request.moves else 0
            answer = self._answer(connection)
            tracked = [self._answer(connection) for _ in range(2)][1] if request.tracks else -1
        except self._channel.connection_errors:
            self._disconnected(connection, request)
            raise
        finally:
            self._channel._in_poll = None
        for refused in (moved, answer):
            if isinstance(refused, ResponseError):
                self._is_refused(refused, request)
                return
        self._refused, self._answered_at = False, time.monotonic()
        self._take_in(request, answer)
        if isinstance(tracked, ResponseError):
            self._poll_from_now_on(tracked)
        self._decide(request, len(answer) // 2 - 1, quiet=self._watch is None or tracked == 0)

    def _disconnected(self, connection: Any, request: TakeRequest | None) -> None:
        if request is not None and request.done:
            self._channel.holding.unclaim(request.done)
        connection.disconnect()

    def _poll_from_now_on(self, error: ResponseError) -> None:
        logger.warning("the server does not track keys, so lists are polled: %s", error)
        self._close_watch()

    @staticmethod
    def _answer(connection: Any) -> Any:
        try:
            return connection.read_response()
        except ResponseError as exc:
            return exc

    def _take_in(self, request: TakeRequest, answer: Sequence[Any]) -> None:
        channel, queues = self._channel, request.queues
        for offset, (place, raw) in enumerate(zip(answer[2::2], answer[3::2], strict=True)):
            queue = queues[place % len(queues)]
            filed = queue not in channel.unfiled_queues
            tag = channel.holding.tag(request.first + offset) if filed else channel._next_delivery_tag()
            self.taken.append(Taken(queue, request.lists[place], tag, raw, filed))
        if len(answer) > 2:
            channel._queue_cycle.rotate(self.taken[-1].queue)
        wait, self._due = answer[0], answer[1]
        if self._due:
            self._poked = True
        self._sleep(_REST if self._watch is not None else _POLL, wait)

    def _decide(self, request: TakeRequest, count: int, quiet: bool) -> None:
        """Whether to fetch again at once."""
        if request.limit > 0:
            self._empty = count < request.limit
            self._resting = self._empty and (quiet or (self._resting and count == 0))

    def _is_refused(self, error: ResponseError, request: TakeRequest) -> None:
        """A script did not run; nothing was taken."""
        channel = self._channel
        if request.done:
            channel.holding.unclaim(request.done)
        if isinstance(error, NoScriptError):
            for script in (TAKE, MOVE):
                channel.execute("SCRIPT", "LOAD", script.source)
            self._poked = True
            return
        if not isinstance(error, OutOfMemoryError):
            raise error
        if not self._refused:
            logger.error("the broker is out of memory; nothing is fetched until it has some: %s", error)
        self._refused = self._resting = True
        self._sleep(_REST)

    def _sleep(self, longest: float, due_ms: int = -1) -> None:
        """Look again after ``longest`` seconds, or when a delayed message is due."""
        seconds = longest if due_ms < 0 else min(longest, (due_ms + 1) / 1000)
        self._wake_at = time.monotonic() + seconds
        self.set_alarm()

    def _wake_within(self, seconds: float) -> None:
        self._wake_at = min(self._wake_at, time.monotonic() + seconds)
        self.set_alarm()

    def set_alarm(self) -> None:
        """Have the event loop, where there is one, come by in time."""
        loop = self._channel.loop
        if loop is not None and self._wake_at < self._alarm_at:
            self._alarm_at = self._wake_at
            loop.call_later(max(self._wake_at - time.monotonic(), 0.0), self._on_alarm)

    def _on_alarm(self) -> None:
        if self._channel.closed:
            return
        self._alarm_at = float("inf")
        if time.monotonic() >= self._wake_at - 0.001:
            self._poked = True  # the turn follows the timers
        else:
            self.set_alarm()

    # -- delivering ---------------------------------------------------------------------------------------------

    def deliver(self) -> bool:
        """Hand the oldest message over that was taken; ``False`` if it was put off instead."""
        message = self.taken.popleft()
        envelope = read_envelope(message.raw, message.queue, message.tag)
        wait = wait_of(envelope, time.time()) if message.filed else None
        if wait is not None:
            self._postpone(message, wait)
            return False
        if message.queue not in self._channel.connection._callbacks:
            self._put_back([message])
            return False
        started = time.monotonic()
        self._channel.connection._deliver(envelope, message.queue)
        self._slow = time.monotonic() - started > _SLOW
        return True

    def put_queue_back(self, queue: str) -> None:
        """What was taken from a queue that is not consumed any more."""
        if self._request is not None:
            self.read()
        gone = [message for message in self.taken if message.queue == queue]
        if gone:
            self.taken = deque(message for message in self.taken if message.queue != queue)
            self._put_back(gone)

    def _put_back(self, messages: Sequence[Taken]) -> None:
        """Messages nobody wants any more; one that needs no acknowledgement counts as delivered."""
        tags = [message.tag for message in messages if message.filed]
        if tags:
            self._channel.holding.put_back(tags)

    def _postpone(self, message: Taken, wait: int) -> None:
        """A plain producer's message came before its time."""
        member = delayed_member(message.list_key, message.raw.decode())
        self._channel.holding.postpone(message.tag, wait, member)

    # -- ending -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read what is under way, so that nothing is taken any more; forget what was taken."""
        try:
            if self._request is not None:
                self.read()
        finally:
            self.taken.clear()
            self._close_watch()

    def after_fork(self) -> None:
        """In a child: nothing here is ours."""
        if self._watch is not None:
            self._watch.forget()
        self._watch = self._request = None
        self.taken.clear()

    def _close_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.connection.disconnect()
