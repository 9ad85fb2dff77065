"""Waits for all channels of a connection, with an event loop or without one [kombu]."""

from __future__ import annotations

import logging
import socket
import time
from queue import Empty
from typing import Any, Final

from kombu.transport import redis as plain
from kombu.utils.eventio import READ
from redis.exceptions import ResponseError

logger = logging.getLogger(__name__)

#: Seconds a wait without a limit is cut into, so that a cancelled consumer is noticed.
_ROUND: Final = 1.0


class Cycle(plain.MultiChannelPoller):
    """Waits for all channels of a connection, with an event loop or without."""

    def __init__(self) -> None:
        super().__init__()
        #: Celery's event loop, once the connection is registered with it.
        self.loop: Any = None
        self._doorbell: tuple[socket.socket, socket.socket] | None = None

    def on_poll_start(self) -> None:
        """Before the loop waits."""
        for channel in list(self._channels):
            channel.note_thread()
            if channel.active_queues:
                channel.fetcher.turn()
            elif channel.unwritten:
                channel.holding.flush()
            if channel.active_fanout_queues:
                self._register_LISTEN(channel)

    def on_readable(self, fileno: int) -> Any:
        """A socket has something."""
        found = self._fd_to_chan.get(fileno)
        if found is None:
            return None
        channel, kind = found
        if kind == "LISTEN" and not channel.qos.can_consume():
            return None
        return channel.handlers[kind]()

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """Without an event loop: wait for one message and hand it over."""
        self._in_protected_read = True
        try:
            self.maybe_refresh_binding_expiry()
            end = time.monotonic() + (_ROUND if timeout is None else min(timeout, _ROUND))
            while not self._hand_one_over():
                self.on_poll_start()
                if self._wait(end):
                    return
                if time.monotonic() >= end and not any(channel.fetcher.taken for channel in self._channels):
                    self.maybe_check_brpop_health()
                    self._look_after_plain_workers()
                    raise Empty
        finally:
            self._in_protected_read = False
            while self.after_read:
                self.after_read.pop()()

    def _look_after_plain_workers(self) -> None:
        """Messages that kombu filed are put back by kombu's rule."""
        try:
            self.maybe_restore_messages()
        except ResponseError as exc:
            logger.warning("messages of plain workers are looked after later: %s", exc)

    def ring(self) -> None:
        """Wake the loop from another thread."""
        if self.loop is not None:
            self.loop.call_soon(_nothing)
        elif self._doorbell is not None:
            self._doorbell[1].send(b"\0")

    def close(self) -> None:
        """No channel is left."""
        super().close()
        doorbell, self._doorbell = self._doorbell, None
        for end in doorbell or ():
            end.close()

    def _hand_one_over(self) -> bool:
        for channel in list(self._channels):
            while channel.fetcher.taken:
                if channel.fetcher.deliver():
                    return True
        return False

    def _wait(self, end: float) -> bool:
        """Until something is readable or has to be done; whether a message was handed over."""
        rests = [channel.fetcher.rest() for channel in self._channels if channel.active_queues]
        left = max(end - time.monotonic(), 0.0)
        delivered = False
        bell = self._bell()
        for fileno, _ in self.poller.poll(min([left, *rests])) or ():
            if fileno == bell:
                self._answer_the_door()
            else:
                delivered |= bool(self.on_readable(fileno))
        return delivered

    def _bell(self) -> int:
        if self._doorbell is None:
            self._doorbell = socket.socketpair()
            for end in self._doorbell:
                end.setblocking(False)
            self.poller.register(self._doorbell[0], READ)
        return self._doorbell[0].fileno()

    def _answer_the_door(self) -> None:
        if self._doorbell is not None:
            self._doorbell[0].recv(4096)


def _nothing() -> None:
    pass
