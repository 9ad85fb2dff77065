"""Circuit: everything a store keeps about one circuit, and its views (pure). Times are integer ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Counts, Override, Snapshot, Status
from fluxora_tasks.breaker.window import Window


@dataclass(frozen=True, slots=True)
class Circuit:
    """
    A circuit at rest; the fields that ``Snapshot`` has, too, mean the same.

    Attributes:
        generation: 0: nobody has heard of it.
        closed_since_ms: CLOSED: from when on time takes openings off ``attempts``.
        override_soft: FORCED_OPEN that ends by itself leads to HALF_OPEN.
        other_digest: Of the policy in force before ``digest``.
        exceeded: FORCED_CLOSED: the counts have reached a threshold, and that was told.
        late: Results that came too late, in all.
        refused: Calls refused, as far as reported; under METRICS_ONLY those that would have been.
        leases: Probe under way -> when its lease runs out.
    """

    name: str
    state: CircuitState = CircuitState.CLOSED
    generation: int = 0
    since_ms: int = 0
    until_ms: int = 0
    closed_since_ms: int = 0
    attempts: int = 0
    reason: str = ""
    override: Override = Override.NONE
    override_until_ms: int = 0
    override_by: str = ""
    override_why: str = ""
    override_soft: bool = False
    digest: str = ""
    other_digest: str = ""
    last_failure_ms: int = 0
    exceeded: bool = False
    late: int = 0
    refused: int = 0
    issued: int = 0
    ok: int = 0
    bad: int = 0
    lost: int = 0
    window: Window = field(default_factory=Window)
    leases: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def effective(self) -> str:
        """What decides about calls: the override if there is one, else the state."""
        return self.state.value if self.override is Override.NONE else self.override.value

    @property
    def is_frozen(self) -> bool:
        """Whether an operator has stopped the automatic state from moving."""
        return self.override in (Override.FORCED_OPEN, Override.DISABLED)

    def counts(self, now_ms: int) -> Counts:
        """Sums over the window; none unless CLOSED."""
        return self.window.total(now_ms) if self.state is CircuitState.CLOSED else Counts()


def snapshot_of(circuit: Circuit, now_ms: int, policy: BreakerPolicy | None = None) -> Snapshot:
    """What a process needs to know of it; the window as the policy looks at it, or else as the last report did."""
    if policy is not None:
        circuit = replace(circuit, window=circuit.window.shaped(policy))
    return Snapshot(
        name=circuit.name,
        state=circuit.state,
        generation=circuit.generation,
        now_ms=now_ms,
        since_ms=circuit.since_ms,
        until_ms=circuit.until_ms,
        attempts=circuit.attempts,
        reason=circuit.reason,
        override=circuit.override,
        override_until_ms=circuit.override_until_ms,
        override_by=circuit.override_by,
        override_why=circuit.override_why,
        counts=circuit.counts(now_ms),
        last_failure_ms=circuit.last_failure_ms,
        digest=circuit.digest,
        issued=circuit.issued,
        ok=circuit.ok,
        bad=circuit.bad,
        lost=circuit.lost,
    )


def status_of(circuit: Circuit, now_ms: int) -> Status:
    """What people ask for."""
    return Status(
        snapshot=snapshot_of(circuit, now_ms),
        leases={lease: expiry - now_ms for lease, expiry in sorted(circuit.leases.items()) if expiry > now_ms},
        reporters=circuit.window.seen_by(now_ms),
        late=circuit.late,
        refused=circuit.refused,
    )
