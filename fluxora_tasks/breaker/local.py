"""LocalCircuit: the machine in this process, on its monotonic clock: for its own circuits, and for want of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, Counts, Order, Override, Report, Result, Snapshot
from fluxora_tasks.breaker.stores.memory import MemoryBreakerStore

_UNNAMED: Final = "(unnamed)"


class LocalCircuit:
    """One circuit that nobody else sees. While shared state decides, it only keeps counting (``pin``)."""

    def __init__(self, name: str, monotonic: Callable[[], float], random: Random | None = None) -> None:
        self._name = name or _UNNAMED
        self._store = MemoryBreakerStore(lambda: int(monotonic() * 1000), random)

    def fold(self, policy: BreakerPolicy, generation: int, counts: Counts, trip_ms: int | None = None) -> Snapshot:
        """Count, and judge."""
        (snapshot,) = self._store.flush([Report(self._name, _alone(policy), generation, counts, trip_ms)], "")
        assert snapshot is not None, "memory refuses nothing"
        return snapshot

    def admit(self, policy: BreakerPolicy, lease: str) -> Admission:
        """Ask for a permit."""
        return self._store.admit(self._name, lease, _alone(policy), "")

    def settle(self, policy: BreakerPolicy, generation: int, lease: str, result: Result, slow: bool) -> Snapshot:
        """Give a probe's lease back."""
        return self._store.settle(self._name, generation, lease, result, slow, _alone(policy), "")

    def renew(self, policy: BreakerPolicy, lease: str) -> bool:
        """Keep a probe's lease alive."""
        return self._store.renew(self._name, lease, policy)

    def pin(self, policy: BreakerPolicy) -> None:
        """Count, but decide nothing."""
        self._store.override(self._name, Override.FORCED_CLOSED, None, _SELF, policy)

    def begin(self, policy: BreakerPolicy, open_for: float | None) -> Snapshot:
        """Decide from now on; a circuit that is known to be open stays so for that many seconds."""
        if open_for is not None:
            return self._store.open_for(self._name, open_for, _SELF, policy)
        return self._store.override(self._name, Override.NONE, None, _SELF, policy)

    def reset(self, policy: BreakerPolicy) -> Snapshot:
        """Begin anew."""
        return self._store.reset(self._name, _SELF, policy)


_SELF: Final = Order("")


def _alone(policy: BreakerPolicy) -> BreakerPolicy:
    """Nobody else reports here."""
    return policy if policy.min_reporters == 1 else replace(policy, min_reporters=1)
