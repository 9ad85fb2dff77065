"""SharedRetryBudget: an allowance of retries that belongs to the whole fleet [redis]."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from random import Random, SystemRandom
from typing import Any, Final, Protocol
from uuid import uuid4

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.forks import watch_forks
from fluxora_tasks.lane import lane_of
from fluxora_tasks.retry.budget import FAILURE_COST, SUCCESS_GIVES
from fluxora_tasks.retry.share import SLICES, FleetCounts, FleetShare
from fluxora_tasks.shared import shared_state, when_changed
from fluxora_tasks.state import PREFIX, StateStore

#: Seconds after a retry within which the fleet is told.
_SOON: Final = 0.05

# KEYS 1 hash: f<slice>, r<slice> -> first attempts, retries; p<process> -> ms when last heard.
# ARGV 1 first attempts, 2 retries, 3 process, 4 ms of a slice, 5 slices. Clock: the server's.
# Returns first attempts, retries and processes of the window; forgets what is older.
_EXCHANGE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local length, slices = tonumber(ARGV[4]), tonumber(ARGV[5])
local slice = math.floor(now / length)
local label = string.format('%.0f', slice)
if ARGV[1] ~= '0' then redis.call('HINCRBY', KEYS[1], 'f' .. label, ARGV[1]) end
if ARGV[2] ~= '0' then redis.call('HINCRBY', KEYS[1], 'r' .. label, ARGV[2]) end
redis.call('HSET', KEYS[1], 'p' .. ARGV[3], string.format('%.0f', now))
local sums = {f = 0, r = 0, p = 0}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind, rest, value = string.sub(all[i], 1, 1), string.sub(all[i], 2), tonumber(all[i + 1])
  local old = (kind == 'p' and value <= now - length * slices) or (kind ~= 'p' and tonumber(rest) <= slice - slices)
  if old then
    redis.call('HDEL', KEYS[1], all[i])
  else
    sums[kind] = sums[kind] + (kind == 'p' and 1 or value)
  end
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 2 * length * slices))
return {sums.f, sums.r, sums.p}
"""


class Exchange(Protocol):
    """The process's exchange with the store, see ``fluxora_tasks.lane``."""

    def add(self, participant: Any) -> Any:
        """Let it take turns from now on."""
        ...

    def wake(self, within: float, participant: Any = None) -> Any:
        """Let it take a turn soon."""
        ...


class SharedRetryBudget:
    """
    An allowance of retries for everyone who uses its name: retries <= ratio * first attempts + floor, fleet-wide.

    Calls cost no round trip: counts go to the store once a second, and soon after a retry. While the store is away, or
    there is none, each process keeps the rule for itself. Safe for threads and forks.

    Args:
        name: Of the allowance.
        ratio: Retries per first attempt, over ``window``.
        floor: Retries per second beside that, of the fleet as a whole.
        window: Seconds that are looked at; from 1.
        state: Finds the shared state, or ``None`` where there is none; asked at the first use in a process.
        lane_of: Finds the exchange with that state.
        monotonic: Source of time.
        random: Source of chance, see ``FleetShare``.
    """

    full = True
    counting = True
    channels: Sequence[str] = ()
    interval = 1.0

    def __init__(
        self,
        name: str,
        ratio: float = 0.2,
        floor: float = 10.0,
        *,
        window: float = 10.0,
        state: Callable[[], StateStore | None] = shared_state,
        lane_of: Callable[[StateStore], Exchange] = lane_of,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        _check(name, ratio, floor, window)
        self.name, self.ratio, self.floor, self.window = name, float(ratio), float(floor), float(window)
        self._state, self._lane_of = state, lane_of
        self._monotonic, self._random = monotonic, random or SystemRandom()
        self.forked()
        _budgets.add(self)
        watch_forks(self)

    def first(self) -> None:
        """A first attempt is made."""
        self._join()
        with self._lock:
            self._share.first(self._monotonic())

    def withdraw(self, cost: float = FAILURE_COST) -> bool:
        """Whether one more retry may be made; a retry counts as one, whatever it costs a bucket."""
        self._join()
        with self._lock:
            allowed = self._share.take(self._monotonic())
        if allowed and self._lane is not None:
            self._lane.wake(_SOON, self)
        return allowed

    def deposit(self, amount: float = SUCCESS_GIVES) -> None:
        """A success; nothing to a ratio."""

    def turn(self) -> None:
        """Tell the store what happened here, and hear what happened elsewhere; by the lane's thread."""
        with self._lock:
            sent = self._share.unsent(self._monotonic())
        length = max(1, round(self.window * 1000 / SLICES))
        assert self._exchange is not None
        firsts, retries, processes = self._exchange([self.key], [*sent, self._process, length, SLICES])
        with self._lock:
            self._share.heard(FleetCounts(firsts, retries, max(1, processes)), sent, self._monotonic())

    def on_message(self, channel: str, payload: bytes) -> None:
        """Nothing is listened to."""

    def on_store(self, there: bool) -> None:
        """Nothing to do: counts that grow old are not believed any more."""

    @property
    def key(self) -> str:
        """Where the store keeps the counts."""
        return f"{PREFIX}rb:{{{self.name}}}"

    def forked(self) -> None:
        """As in a new process."""
        self._lock = threading.Lock()
        self._process = uuid4().hex[:12]
        self._share = FleetShare(self.ratio, self.floor, self.window, alone=False, random=self._random)
        self._lane: Exchange | None = None
        self._exchange: Callable[..., Any] | None = None
        self._joined = False

    def _join(self) -> None:
        """Take part in the process's exchange with the store, from the first use on."""
        if self._joined:
            return
        with self._lock:
            lane = None if self._joined else self._connect()
            self._joined = True
        if lane is not None:
            lane.add(self)

    def _connect(self) -> Exchange | None:
        store = self._state()
        if store is None:
            self._share = FleetShare(self.ratio, self.floor, self.window, alone=True, random=self._random)
            return None
        self._exchange, self._lane = store.script(_EXCHANGE), self._lane_of(store)
        return self._lane


_budgets: weakref.WeakSet[SharedRetryBudget] = weakref.WeakSet()


def _begin_anew() -> None:
    for budget in _budgets:
        budget.forked()


when_changed(_begin_anew)


def _check(name: str, ratio: float, floor: float, window: float) -> None:
    if not name or not isinstance(name, str):
        raise ConfigurationError(f"a shared budget has a name; got {name!r}")
    for what, value, least in (("ratio", ratio, 0), ("floor", floor, 0), ("window", window, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
            raise ConfigurationError(f"{what} of a shared budget is a number from {least}; got {value!r}")
