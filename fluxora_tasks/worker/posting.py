"""Writes the books without waiting for the store: sent in one turn of the loop, answered in another [redis].

What is sent is written even if this process dies a moment later, so a run is in the books before its body begins.
A message is released when the answer is there. Waiting for it in the loop took 45 % of the loop's time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from redis.exceptions import RedisError, ResponseError

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.journal import Ending
from fluxora_tasks.state import TIMEOUT
from fluxora_tasks.worker.books import KEYS, SCRIPT, Books

#: Seconds between two looks whether an answer is overdue.
_LOOK: Final = TIMEOUT / 2

Release = Callable[[], None]
Endings = Mapping[Ending | None, Sequence[tuple[str, Release]]]


class Hub(Protocol):
    """The part of kombu's event loop that is used here."""

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Run the callback in the loop's next turn; safe from other threads."""
        ...

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Run the callback after so many seconds; for the loop's own thread."""
        ...

    def add_reader(self, fds: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Run the callback when there is something to read."""
        ...

    def remove_reader(self, fd: Any) -> None:
        """Stop that."""
        ...


@dataclass(frozen=True, slots=True)
class _Posted:
    ended: Endings
    at: float


class Posting:
    """Entries on their way to the books; for the loop's own thread.

    With the store away, or slow, entries go through ``Books.write``, which keeps what it cannot write.

    Args:
        books: Where entries go.
        hub: The loop.
        monotonic: Source of time.
    """

    def __init__(self, books: Books, hub: Hub, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._books = books
        self._hub = hub
        self._monotonic = monotonic
        self._connection: Any = None
        self._descriptor: int | None = None
        self._script: Any = None
        self._under_way: deque[_Posted] = deque()
        self._looks = False

    def post(self, started: Sequence[str], ended: Endings) -> None:
        """Write down runs that began and messages that ended; release those when that is done."""
        if self._books.owing or not self._connected():
            self._write(started, ended)
            return
        arguments = self._books.entry(started, _ids(ended))
        try:
            packed = self._connection.pack_command("EVALSHA", self._script, len(KEYS), *KEYS, *arguments)
            self._connection.send_packed_command(packed, check_health=False)
        except RedisError as exc:
            self._lose(exc)
            self._write(started, ended)
            return
        self._under_way.append(_Posted(ended, self._monotonic()))
        self._look_later()

    def settle(self) -> None:
        """Wait for what is under way, at most as long as for any command, and give the connection back."""
        while self._under_way:
            try:
                self._read_one()
            except RedisError as exc:
                self._lose(exc)
        self._disconnect()

    # -- answers ------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        if self._under_way:
            self._read_available()
        else:
            self._disconnect()  # nothing was asked: the server has gone

    def _read_available(self) -> None:
        try:
            while self._under_way and self._connection.can_read(0):
                self._read_one()
        except RedisError as exc:
            self._lose(exc)

    def _read_one(self) -> None:
        """The answer to the oldest entry; released whatever it says, as with ``Books.write``."""
        try:
            self._connection.read_response(disconnect_on_error=False)
        except ResponseError:
            self._write((), self._under_way.popleft().ended)  # the server forgot the script, or is full
            if not self._under_way:
                self._disconnect()
            return
        _release(self._under_way.popleft().ended)

    def _look_later(self) -> None:
        if not self._looks:
            self._looks = True
            self._hub.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """Give up an answer that is overdue; it may be there, if the loop itself was held up."""
        self._looks = False
        if self._is_overdue():
            self._read_available()
        if self._is_overdue():
            self._lose(TimeoutError("no answer in time"))
        if self._under_way:
            self._look_later()

    def _is_overdue(self) -> bool:
        return bool(self._under_way) and self._monotonic() - self._under_way[0].at > TIMEOUT

    # -- the connection -----------------------------------------------------------------------------------------

    def _connected(self) -> bool:
        if self._connection is None:
            try:
                self._connection = self._books.connection()
                self._connection.send_command("SCRIPT", "LOAD", SCRIPT)
                self._script = self._connection.read_response()
                self._descriptor = self._connection._sock.fileno()
                self._hub.add_reader(self._descriptor, self._on_readable)
            except StoreUnavailable:
                self._connection = None
            except RedisError as exc:
                self._lose(exc)
        return self._connection is not None

    def _lose(self, exc: Exception) -> None:
        """The store is away: whatever is under way is written again, endings only, and owed if that fails too.

        Its runs may be counted already, and a run counted twice would bring a verdict of poison too early.
        """
        self._disconnect()
        self._books.away(exc)
        lost, self._under_way = self._under_way, deque()
        for posted in lost:
            self._write((), posted.ended)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._hub.remove_reader(descriptor)
        if connection is not None:
            connection.disconnect()

    def _write(self, started: Sequence[str], ended: Endings) -> None:
        self._books.write(started, _ids(ended))
        _release(ended)


def _ids(ended: Endings) -> dict[Ending | None, list[str]]:
    return {ending: [message_id for message_id, _ in entries] for ending, entries in ended.items()}


def _release(ended: Endings) -> None:
    for entries in ended.values():
        for _, release in entries:
            release()
