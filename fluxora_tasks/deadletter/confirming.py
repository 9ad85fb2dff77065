"""Confirmed publish: everything that was sent is with the broker before ``publish`` returns [kombu]."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from amqp.exceptions import MessageNacked
from kombu import Connection

from fluxora_tasks.deadletter.topology import is_amqp

#: Seconds the broker may take to confirm what was sent.
CONFIRM_TIMEOUT = 10.0

Item = TypeVar("Item")


class ConfirmedPublisher(ABC, Generic[Item]):
    """Publishes on a connection of its own, all of it confirmed by the broker before ``publish`` returns.

    Not safe for threads: one owner. After any error the channel is dropped, with the confirms still due on it.

    Args:
        connect: Opens a connection to the broker.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._channel: Any = None
        self._confirms: Confirms | None = None

    def publish(self, items: Sequence[Item]) -> None:
        """
        Send them and wait until the broker has them all: for one confirm at the end, not for one after each.

        Raises:
            Exception: whatever the transport raises; any of the items may or may not have arrived.
        """
        try:
            channel = self._channel or self._open()
            for item in items:
                self._send(channel, item)
            if self._confirms is not None:
                self._confirms.wait(CONFIRM_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._channel, self._confirms = self._connection, None, None, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is being thrown away
                connection.release()

    def _open(self) -> Any:
        connection = self._connection = self._connect()
        connection.connect()
        channel, amqp = connection.channel(), is_amqp(connection)
        self._opened(channel, amqp=amqp)
        if amqp:
            self._confirms = Confirms(channel)
        self._channel = channel
        return channel

    @abstractmethod
    def _opened(self, channel: Any, *, amqp: bool) -> None:
        """A fresh channel, before its first publish; nothing on it is confirmed yet."""

    @abstractmethod
    def _send(self, channel: Any, item: Item) -> None:
        """Send one; where the broker confirms, ``expect`` it."""


class Confirms:
    """Which messages sent on an AMQP channel the broker has yet to confirm.

    A message that cannot be routed is returned, and py-amqp raises that while it waits, unless somebody listens for it.

    Args:
        channel: A fresh one; its publishes return at once from now on.

    Attributes:
        due: Numbers of those that are neither confirmed nor refused.
        refused: Numbers of those that the broker refused since the last wait began.
    """

    def __init__(self, channel: Any) -> None:
        self.due: set[int] = set()
        self.refused: set[int] = set()
        self._channel = channel
        self._sent = 0
        channel.confirm_select()
        channel.basic_publish = channel._basic_publish
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)

    def expect(self) -> int:
        """One more message was sent; returns its number. The broker counts them in the same way."""
        self._sent += 1
        self.due.add(self._sent)
        return self._sent

    def wait(self, limit: float) -> None:
        """
        Wait until nothing is due.

        Raises:
            MessageNacked: the broker refused a message.
            TimeoutError: it took longer than ``limit`` seconds.
        """
        deadline = time.monotonic() + limit
        while self.due:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the broker did not confirm within {limit:g} s")
            self._channel.connection.drain_events(timeout=left)
        if self.refused:
            raise MessageNacked

    def _settled(self, tag: int, multiple: bool) -> set[int]:
        settled = {due for due in self.due if due <= tag} if multiple else self.due & {tag}
        self.due -= settled
        return settled

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settled(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self.refused |= self._settled(tag, multiple)
