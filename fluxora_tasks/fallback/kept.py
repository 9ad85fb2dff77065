"""Last good values: the ones this process knows, in front of those that all workers share."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.forks import watch_forks

#: Bounds of what one process keeps.
_MOST_ENTRIES: Final = 1000
_MOST_BYTES: Final = 16 * 2**20

#: Seconds for which the shared value of a key is not looked at again.
_RECHECK: Final = 5.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A value as it is kept.

    Attributes:
        payload: Its JSON.
        age: Seconds since it was true.
    """

    payload: bytes
    age: float


class SharedValues(Protocol):
    """Where all workers keep last good values."""

    def find(self, key: str) -> Kept | None:
        """
        The value of a key; one round trip.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        ...

    def keep(self, key: str, payload: bytes, max_age: float) -> None:
        """Have it stored soon, for so many seconds; neither waits nor raises."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """What this process knows of a key; times are monotonic.

    Attributes:
        payload: ``None``: no value is known.
        since: When it was true.
        checked: When it was last compared with the shared value.
        due: When the next result is to be kept.
    """

    payload: bytes | None = None
    since: float = 0.0
    checked: float = float("-inf")
    due: float = 0.0


class LastGoodValues:
    """The last good values of a process, least recently used first to go.

    Args:
        shared: Where all workers keep theirs; ``None``: nowhere.
        monotonic: Source of time.
    """

    def __init__(self, shared: SharedValues | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shared, self._monotonic = shared, monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        watch_forks(self)

    def is_due(self, key: str) -> bool:
        """Whether a result of now is to be kept: the last one was a while ago."""
        entry = self._entries.get(key)
        return entry is None or entry.due <= self._monotonic()

    def keep(self, key: str, payload: bytes, max_age: float, every: float) -> None:
        """Keep a result of now for so many seconds, and the next one not before so many."""
        now = self._monotonic()
        self._change(key, lambda _: _Entry(payload, now, now, now + every))
        if self._shared is not None:
            self._shared.keep(key, payload, max_age)

    def pass_over(self, key: str, seconds: float) -> None:
        """Keep no result for so long: they cannot be kept. A value from before stays."""
        due = self._monotonic() + seconds
        self._change(key, lambda entry: replace(entry, due=due))

    def recent(self, key: str) -> tuple[bool, Kept | None]:
        """Whether what this process knows is enough for now, and what that is; no I/O."""
        entry = self._entries.get(key)
        if entry is None:
            return self._shared is None, None
        now = self._monotonic()
        return self._shared is None or now - entry.checked < _RECHECK, _kept(entry, now)

    def find(self, key: str) -> Kept | None:
        """The youngest value, this process's or the shared one; one round trip at most."""
        shared = self._shared_value(key)
        now = self._monotonic()
        return _kept(self._change(key, lambda entry: _younger(entry, shared, now)), now)

    def forked(self) -> None:
        """Another thread may have held the lock."""
        self._lock = threading.Lock()

    def _shared_value(self, key: str) -> Kept | None:
        try:
            return self._shared.find(key) if self._shared is not None else None
        except StoreUnavailable:
            return None

    def _change(self, key: str, change: Callable[[_Entry], _Entry]) -> _Entry:
        with self._lock:
            before = self._entries.get(key, _Entry())
            entry = self._entries[key] = change(before)
            self._entries.move_to_end(key)
            self._bytes += _size(entry) - _size(before)
            while len(self._entries) > _MOST_ENTRIES or self._bytes > _MOST_BYTES:
                self._bytes -= _size(self._entries.popitem(last=False)[1])
        return entry


def _younger(entry: _Entry, shared: Kept | None, now: float) -> _Entry:
    """What is known of a key once the shared value was looked at."""
    if shared is None or (entry.payload is not None and entry.since >= now - shared.age):
        return replace(entry, checked=now)
    return replace(entry, payload=shared.payload, since=now - shared.age, checked=now)


def _kept(entry: _Entry, now: float) -> Kept | None:
    return Kept(entry.payload, max(0.0, now - entry.since)) if entry.payload is not None else None


def _size(entry: _Entry) -> int:
    return len(entry.payload or b"")
