"""What a consumer holds: messages taken and not yet acknowledged, filed under its name [redis].

Each consuming channel is one consumer. Its messages stand in kombu's hash of unacknowledged ones, and their tags,
with the list each came from, in a hash of its own: so whoever finds the consumer dead can put them back.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from fluxora_tasks.scripts import Execute
from fluxora_tasks.transport.filing import as_redelivered, envelope_in
from fluxora_tasks.transport.scripts import POSTPONE, RESTORE

#: Messages put back per script.
_SLICE: Final = 100


@dataclass(frozen=True, slots=True)
class Keys:
    """Names on the server, with the application's prefix.

    Attributes:
        unacked: kombu's hash of unacknowledged messages.
        consumers: Our consumers by their last sign of life.
        looking: Held by the consumer that looks after the others.
        delayed: Messages that wait for their time.
    """

    unacked: str
    consumers: str
    looking: str
    delayed: str

    @classmethod
    def of(cls, prefix: str, unacked: str) -> Keys:
        """For a channel with this ``global_keyprefix`` and ``unacked_key``."""
        base = prefix + unacked
        return cls(base, f"{base}.consumers", f"{base}.looking", f"{prefix}fluxora.delayed")

    def held(self, consumer: str) -> str:
        """What a consumer holds: tag -> list."""
        return f"{self.unacked}.held.{consumer}"


class Holding:
    """
    One consumer's messages, by tag.

    Acknowledgements are collected and written together. One that is lost with its process means a redelivery.
    Safe for threads.

    Args:
        keys: Names on the server.
        execute: Sends a command over a connection of the caller's thread.
    """

    def __init__(self, keys: Keys, execute: Execute) -> None:
        self.keys = keys
        self.consumer = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._prefix = f"{self.consumer}:"
        self._execute = execute
        self._next = 0
        self._done: deque[str] = deque()
        self._writing = threading.Lock()
        self._ended = False

    def reserve(self, count: int) -> int:
        """Numbers for the tags of ``count`` messages; returns the first."""
        first, self._next = self._next, self._next + count
        return first

    def tag(self, number: int) -> str:
        """The tag with this number."""
        return f"{self._prefix}{number}"

    def owns(self, tag: str) -> bool:
        """Whether a message is filed under this consumer; one from a fanout exchange is not filed at all."""
        return tag.startswith(self._prefix)

    def acknowledge(self, tag: str) -> int:
        """Note that a message is done with; returns how many wait to be written. Too late where it was put back."""
        if not self._ended:
            self._done.append(tag)
        return len(self._done)

    @property
    def unwritten(self) -> int:
        """Acknowledgements that the server does not know yet."""
        return len(self._done)

    def claim_done(self, limit: int) -> list[str]:
        """Acknowledgements to be written by the caller."""
        done: list[str] = []
        with suppress(IndexError):
            while len(done) < limit:
                done.append(self._done.popleft())
        return done

    def unclaim(self, done: Sequence[str]) -> None:
        """They could not be written."""
        self._done.extendleft(reversed(done))

    def flush(self, execute: Execute | None = None) -> None:
        """Write what is done; threads that come meanwhile find theirs written by the one before them."""
        execute = execute or self._execute
        with self._writing:
            while done := self.claim_done(_SLICE):
                try:
                    execute("HDEL", self.keys.unacked, *done)
                    execute("HDEL", self.keys.held(self.consumer), *done)
                except Exception:
                    self.unclaim(done)
                    raise

    def postpone(self, tag: str, wait: int, member: str) -> None:
        """Give a message back for ``wait`` ms."""
        keys = self.keys
        POSTPONE.run(self._execute, [keys.unacked, keys.held(self.consumer), keys.delayed], [tag, wait, member])

    def put_back(self, tags: Sequence[str], *, last: bool = False) -> None:
        """Put some messages back, where they are the next to be taken, or the last."""
        put_back(self._execute, self.keys, self.consumer, tags, command="LPUSH" if last else "RPUSH")

    def put_all_back(self, execute: Execute | None = None) -> int:
        """Put everything back that is not acknowledged; the consumer is forgotten. Returns how many."""
        self.flush(execute)
        restored = give_up(execute or self._execute, self.keys, self.consumer)
        self._ended = True
        return restored


def give_up(execute: Execute, keys: Keys, consumer: str, silent_since: str = "+inf") -> int:
    """
    Put everything back that a consumer holds, and forget it.

    Args:
        silent_since: Latest sign of life, in ms of the server's clock, with which it still counts as dead.

    Returns:
        How many messages were put back.
    """
    held = [tag.decode() for tag in execute("HKEYS", keys.held(consumer))]
    return put_back(execute, keys, consumer, held, silent_since=silent_since, forget=True)


def put_back(
    execute: Execute,
    keys: Keys,
    consumer: str,
    tags: Iterable[str],
    *,
    command: str = "RPUSH",
    silent_since: str = "+inf",
    forget: bool = False,
) -> int:
    """
    Put filed messages back into the lists they came from, marked as redelivered.

    Args:
        command: ``RPUSH``: they are the next to be taken, in their order; ``LPUSH``: the last.
        silent_since: As for ``give_up``.
        forget: Ask the server once even if there are no messages, so that it forgets the consumer.
    """
    ordered = sorted(tags, key=_number, reverse=command == "RPUSH")
    restored = 0
    for some in _slices(ordered) if ordered or not forget else [[]]:
        answer = _put_slice_back(execute, keys, consumer, some, command, silent_since)
        if answer < 0:
            break
        restored += answer
    return restored


def _put_slice_back(
    execute: Execute, keys: Keys, consumer: str, tags: list[str], command: str, silent_since: str
) -> int:
    held = keys.held(consumer)
    lists = execute("HMGET", held, *tags) if tags else []
    entries = execute("HMGET", keys.unacked, *tags) if tags else []
    places: dict[bytes, int] = {}
    messages: list[str | bytes | int] = []
    for tag, list_key, entry in zip(tags, lists, entries, strict=True):
        filed = list_key is not None and entry is not None
        place = places.setdefault(list_key, len(places) + 4) if filed else 0
        messages += (tag, place, as_redelivered(envelope_in(entry)) if filed else b"")
    names = [keys.unacked, held, keys.consumers, *(name.decode() for name in places)]
    return int(RESTORE.run(execute, names, [consumer, silent_since, command, *messages]))


def _number(tag: str) -> int:
    return int(tag.rpartition(":")[2])


def _slices(tags: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(tags)
    while some := list(islice(remaining, _SLICE)):
        yield some
