"""What is known about a circuit, and what is said to it (pure). Times are integer ms of the store's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fluxora_tasks.breaker.policy import BreakerPolicy


class CircuitState(StrEnum):
    """Where a circuit stands by itself."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Override(StrEnum):
    """What an operator decided; another dimension than the state, so that neither overwrites the other."""

    NONE = "NONE"
    FORCED_OPEN = "FORCED_OPEN"
    FORCED_CLOSED = "FORCED_CLOSED"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"


class Result(StrEnum):
    """How a permitted call ended. Excluded counts as neither: cancelled, or a fault on our side of the call."""

    SUCCESS = "success"
    FAILURE = "failure"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums of one span. ``failures`` and ``slow`` are among ``calls``; a call may be both."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.calls + other.calls, self.failures + other.failures, self.slow + other.slow)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A circuit as the store saw it at ``now_ms``.

    Attributes:
        name: Of the circuit.
        state: Where it stands by itself (under METRICS_ONLY: where it would stand).
        generation: Number of this life of the state; grows with every change. A result of an older one is late.
        now_ms: The store's clock when it answered.
        since_ms: When the state began.
        until_ms: OPEN: when a probe may pass; else 0.
        attempts: Openings that still lengthen the cooldown.
        reason: Why it last changed: ``failure_rate``, ``slow_rate``, ``all_failed``, ``tripped``, ``probes_failed``,
            ``probes_lost``, ``half_open_max``, ``probes_succeeded``, ``cooldown_over``, ``manual``, ``reset``,
            ``override_ended``; empty for a circuit nobody has heard of.
        override: What an operator decided.
        override_until_ms: When that ends by itself; 0: it does not.
        override_by: Who.
        override_why: Why.
        counts: Sums over the window; of a HALF_OPEN or OPEN circuit zero.
        last_failure_ms: When the last failure was reported; 0: none known.
        digest: Of the policy in force, see ``BreakerPolicy.digest``.
        issued: Probes of this round. Likewise ``ok``, ``bad``, ``lost``.
    """

    name: str
    state: CircuitState = CircuitState.CLOSED
    generation: int = 0
    now_ms: int = 0
    since_ms: int = 0
    until_ms: int = 0
    attempts: int = 0
    reason: str = ""
    override: Override = Override.NONE
    override_until_ms: int = 0
    override_by: str = ""
    override_why: str = ""
    counts: Counts = Counts()
    last_failure_ms: int = 0
    digest: str = ""
    issued: int = 0
    ok: int = 0
    bad: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What one process saw of one circuit since its last report.

    Attributes:
        generation: The one under which the calls were admitted; counts of another are late and change nothing.
        counts: Deltas; all zero: only the snapshot is wanted.
        trip_ms: A failure that opens at once: for so many ms, 0 for the policy's cooldown. ``None``: none did.
        refused: Calls this process refused since the last report; for people, decides nothing.
    """

    name: str
    policy: BreakerPolicy
    generation: int
    counts: Counts = Counts()
    trip_ms: int | None = None
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one request for a probe, or for a permit of a state this process was not sure of.

    Attributes:
        granted: Whether the call may be made.
        lease: Whether it is a probe: then it is settled under the lease id it was asked for with, else it is counted.
        snapshot: The circuit after the decision.
        ask_again_ms: Refused: the earliest store time at which asking again makes sense.
    """

    granted: bool
    lease: bool
    snapshot: Snapshot
    ask_again_ms: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a circuit's history: a change of state or of override.

    Attributes:
        at_ms: Store time.
        event: ``opened``, ``half_opened``, ``closed``, ``override_set``, ``override_ended``, ``reset``,
            ``policy_mismatch``, ``probe_lost``, ``threshold_exceeded`` (under FORCED_CLOSED).
        previous: Effective state or override before; ``current`` likewise after.
        reporter: The worker whose report decided it; empty for operators.
        actor: Who, where a person did it.
        why: Their reason.
        facts: Numbers behind it (calls, failures, slow, attempts, until_ms), as text.
    """

    name: str
    at_ms: int
    event: str
    previous: str = ""
    current: str = ""
    generation: int = 0
    reason: str = ""
    reporter: str = ""
    actor: str = ""
    why: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """Everything about a circuit that people ask for.

    Attributes:
        leases: Lease id -> ms until it runs out.
        reporters: Workers with failures in the window.
        late: Results that came too late, in all. ``refused`` likewise, as far as reported.
    """

    snapshot: Snapshot
    leases: Mapping[str, int] = field(default_factory=dict)
    reporters: tuple[str, ...] = ()
    late: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants something of a circuit, and why.

    Attributes:
        expected_generation: Refuse if the circuit has another by now; ``None``: whatever it has.
    """

    actor: str
    why: str = ""
    expected_generation: int | None = None
