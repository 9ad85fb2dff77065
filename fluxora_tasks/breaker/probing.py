"""HALF_OPEN (pure): probes are let through on leases, and their results decide where the circuit goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fluxora_tasks.breaker.change import Moment, Step, closed, line, opened
from fluxora_tasks.breaker.circuit import Circuit
from fluxora_tasks.breaker.record import Report, Result

#: Probes without a result that open again, at least: one that was cancelled says too little.
LOST_AT_LEAST: Final = 3


def granted(circuit: Circuit, lease: str, moment: Moment) -> Circuit | None:
    """With one more probe under way, or ``None`` if there is no room; who asks again under its lease keeps it."""
    policy = moment.policy
    if lease in circuit.leases:
        return replace(circuit, leases=_leased(circuit, lease, moment))
    if circuit.issued >= policy.probes or len(circuit.leases) >= policy.concurrent_probes:
        return None
    return replace(circuit, issued=circuit.issued + 1, leases=_leased(circuit, lease, moment))


def renewed(circuit: Circuit, lease: str, moment: Moment) -> Circuit | None:
    """With the lease running from now, or ``None`` if it is gone."""
    if lease not in circuit.leases:
        return None
    return replace(circuit, leases=_leased(circuit, lease, moment))


def reaped(circuit: Circuit, moment: Moment) -> Step:
    """Without the leases that ran out: their slots come back, each counts as lost."""
    live = {lease: expiry for lease, expiry in circuit.leases.items() if expiry > moment.now_ms}
    gone = max(0, circuit.issued - circuit.ok - circuit.bad - len(live))
    after = replace(circuit, leases=live, issued=circuit.issued - gone, lost=circuit.lost + gone)
    if not gone:
        return Step(after)
    return Step(after, (line(circuit, after, moment, "probe_lost", {"count": str(gone), "lost": str(after.lost)}),))


def returned(circuit: Circuit, lease: str, result: Result, slow: bool) -> Circuit:
    """With the probe's result counted; an excluded one decides nothing and gives its slot back."""
    leases = {one: expiry for one, expiry in circuit.leases.items() if one != lease}
    if result is Result.EXCLUDED:
        return replace(circuit, leases=leases, issued=circuit.issued - 1, lost=circuit.lost + 1)
    if result is Result.FAILURE or slow:
        return replace(circuit, leases=leases, bad=circuit.bad + 1)
    return replace(circuit, leases=leases, ok=circuit.ok + 1)


def decided(circuit: Circuit, moment: Moment) -> Step:
    """CLOSED or OPEN as soon as the results, the losses or the time are enough for it."""
    policy = moment.policy
    if circuit.bad > policy.probes - policy.probes_required:
        return opened(circuit, moment, "probes_failed")
    if circuit.ok >= policy.probes_required:
        return closed(circuit, moment)
    if circuit.lost >= max(policy.probes, LOST_AT_LEAST):
        return opened(circuit, moment, "probes_lost")
    if policy.half_open_max is not None and moment.now_ms >= _round_ends(circuit, policy.half_open_max):
        return opened(circuit, moment, "half_open_max")
    return Step(circuit)


def ask_again_ms(circuit: Circuit, moment: Moment) -> int:
    """The earliest time at which a refused probe may find room."""
    times = list(circuit.leases.values())
    if moment.policy.half_open_max is not None:
        times.append(_round_ends(circuit, moment.policy.half_open_max))
    return min(times, default=moment.now_ms)


def shadow_counted(circuit: Circuit, report: Report, moment: Moment) -> Circuit:
    """
    METRICS_ONLY: what a round of probing would have seen of these calls, all of which were made.

    As many as the round still has room for count as probes, failed in the proportion of the report (slow ones failed,
    rounded to the nearest); the others would have been refused.
    """
    calls = report.counts.calls
    bad = min(calls, max(report.counts.failures, report.counts.slow))
    probes = min(calls, max(0, moment.policy.probes - circuit.issued))
    failed = (2 * probes * bad + calls) // (2 * calls)
    return replace(
        circuit,
        issued=circuit.issued + probes,
        ok=circuit.ok + probes - failed,
        bad=circuit.bad + failed,
        refused=circuit.refused + calls - probes,
    )


def _leased(circuit: Circuit, lease: str, moment: Moment) -> dict[str, int]:
    return {**circuit.leases, lease: moment.now_ms + round(moment.policy.probe_lease * 1000)}


def _round_ends(circuit: Circuit, longest: float) -> int:
    return circuit.since_ms + round(longest * 1000)
