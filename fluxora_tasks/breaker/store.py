"""BreakerStore: what every keeper of circuits promises (pure). One call is one atomic step under the store's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, Order, Override, Report, Result, Snapshot, Status, Transition


class BreakerStore(Protocol):
    """Keeps circuits. Every method may raise ``StoreUnavailable``; nothing was done then, or it may be done again."""

    def flush(self, reports: Sequence[Report], reporter: str) -> list[Snapshot | None]:
        """
        Fold reports in, each atomically, all in one round trip.

        Returns:
            The snapshots in the order of the reports; ``None``: the store refused that one, and nothing was done.
        """
        ...

    def admit(self, name: str, lease: str, policy: BreakerPolicy, reporter: str) -> Admission:
        """Ask for a permit. Starts probing when the cooldown is over, takes expired leases back, grants or refuses."""
        ...

    def settle(
        self, name: str, generation: int, lease: str, result: Result, slow: bool, policy: BreakerPolicy, reporter: str
    ) -> Snapshot:
        """Give a probe's lease back with its result; nothing for an unknown lease or another generation."""
        ...

    def renew(self, name: str, lease: str, policy: BreakerPolicy) -> bool:
        """Keep a probe's lease alive; ``False`` if it is gone."""
        ...

    def override(
        self,
        name: str,
        override: Override,
        seconds: float | None,
        order: Order,
        policy: BreakerPolicy,
        soft: bool = False,
    ) -> Snapshot:
        """
        Set or end (``Override.NONE``) an operator's decision.

        Args:
            seconds: Until it ends by itself; ``None``: it does not.
            soft: Ending FORCED_OPEN leads to HALF_OPEN instead of CLOSED.

        Raises:
            ConflictError: ``order.expected_generation`` is not the circuit's.
        """
        ...

    def open_for(self, name: str, seconds: float, order: Order, policy: BreakerPolicy) -> Snapshot:
        """
        Open now, like a trip, reason ``manual``; for 0 seconds: the next call is a probe.

        Raises:
            ConflictError: as for ``override``.
        """
        ...

    def reset(self, name: str, order: Order, policy: BreakerPolicy) -> Snapshot:
        """
        Back to CLOSED with an empty window, no growth of the cooldown and no override.

        Raises:
            ConflictError: as for ``override``.
        """
        ...

    def read(self, names: Sequence[str]) -> list[Status]:
        """Everything about these circuits; one nobody has heard of is CLOSED with generation 0. Changes nothing."""
        ...

    def names(self) -> list[str]:
        """Circuits heard of lately, sorted."""
        ...

    def history(self, name: str, limit: int = 50) -> list[Transition]:
        """The latest changes, newest first."""
        ...
