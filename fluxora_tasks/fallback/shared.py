"""Last good values in the shared state [redis]: each a key that ends by itself; only the server's clock counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fluxora_tasks.fallback.kept import Kept
from fluxora_tasks.fallback.live import LaneOf
from fluxora_tasks.forks import watch_forks
from fluxora_tasks.state import StateStore

#: Bytes that one turn of the lane writes, and that may wait for it; others need the lane, too.
_TURN_BYTES: Final = 2**20
_WAITING_BYTES: Final = 8 * 2**20

#: Seconds within which a value is written.
_WITHIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: bytes
    ttl_ms: int
    since: float


class RedisLastGood:
    """Last good values that all workers share: read by whoever needs one, written by the lane.

    A value is kept with the time it had to live; what is left of that tells its age. Values that wait while the store
    is away are dropped.
    """

    channels: Sequence[str] = ()
    interval = 60.0

    def __init__(self, state: StateStore, lane: LaneOf, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._state, self._lane, self._monotonic = state, lane, monotonic
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._bytes = 0
        self._joined = False
        watch_forks(self)

    def find(self, key: str) -> Kept | None:
        """The value of a key, from the server."""

        def read(client: Any) -> tuple[bytes | None, int]:
            with client.pipeline(transaction=True) as pipe:
                found, left = pipe.get(key).pttl(key).execute()
            return found, left

        found, left = self._state.run(read)
        if found is None or left < 0:
            return None
        ttl, _, payload = found.partition(b"\n")
        return Kept(payload, max(0, int(ttl) - left) / 1000)

    def keep(self, key: str, payload: bytes, max_age: float) -> None:
        """Have it written within a second; a newer one takes its place."""
        with self._lock:
            self._bytes += len(payload) - self._drop(key)
            self._waiting[key] = _Waiting(payload, max(1, round(max_age * 1000)), self._monotonic())
            while self._bytes > _WAITING_BYTES:
                self._bytes -= self._drop(next(iter(self._waiting)))
        self._wake()

    def turn(self) -> None:
        """Write what waits, as much as one turn may."""
        with self._lock:
            batch = self._batch()
        if batch:
            self._state.run(lambda client: self._write(client, batch))
        if self._waiting:
            self._lane.wake(0.0, self)

    def on_message(self, channel: str, payload: bytes) -> None:
        """It listens to nothing."""

    def on_store(self, there: bool) -> None:
        """Away: what waits is too old when it is back."""
        if not there:
            with self._lock:
                self._waiting, self._bytes = {}, 0

    def forked(self) -> None:
        """The parent writes what waits."""
        self._lock = threading.Lock()
        self._waiting, self._bytes, self._joined = {}, 0, False

    def _wake(self) -> None:
        if not self._joined:
            self._joined = True
            self._lane.add(self)
        self._lane.wake(_WITHIN, self)

    def _batch(self) -> dict[str, _Waiting]:
        batch: dict[str, _Waiting] = {}
        size = 0
        while self._waiting and size < _TURN_BYTES:
            key = next(iter(self._waiting))
            batch[key] = self._waiting[key]
            size += self._drop(key)
        self._bytes -= size
        return batch

    def _drop(self, key: str) -> int:
        dropped = self._waiting.pop(key, None)
        return len(dropped.payload) if dropped is not None else 0

    def _write(self, client: Any, batch: Mapping[str, _Waiting]) -> None:
        now = self._monotonic()
        with client.pipeline(transaction=False) as pipe:
            for key, value in batch.items():
                left = value.ttl_ms - round((now - value.since) * 1000)
                if left > 0:
                    pipe.set(key, b"%d\n%s" % (value.ttl_ms, value.payload), px=left)
            pipe.execute()
