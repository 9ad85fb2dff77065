"""The machine (pure): one step per request to a circuit; the scripts in ``stores/lua`` are the same rules.

Each step takes the circuit and the moment, and returns the next circuit with what happened. Every step first lets time
take effect: an override that is over ends, and time closed takes openings off the growth of the cooldown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fluxora_tasks.breaker import change
from fluxora_tasks.breaker.change import Moment, Step, line
from fluxora_tasks.breaker.circuit import Circuit
from fluxora_tasks.breaker.probing import (
    ask_again_ms,
    decided,
    granted,
    reaped,
    renewed,
    returned,
    shadow_counted,
)
from fluxora_tasks.breaker.record import CircuitState, Counts, Override, Report, Result
from fluxora_tasks.breaker.window import exceeded


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request for a permit leads to; the fields as in ``Admission``."""

    step: Step
    granted: bool
    lease: bool = False
    ask_again_ms: int = 0


# ---------------------------------------------------------------------------------------- requests of workers


def flush(circuit: Circuit, report: Report, moment: Moment) -> Step:
    """
    Fold in what a worker saw.

    Counts of another generation are late. Generation 0 is that of a worker which has not heard of the circuit yet: its
    counts are taken while the circuit is CLOSED.
    """
    step = _heard_of(circuit, moment).then(_policy_noted, moment)
    following = _folded(step.circuit, report, moment)
    return Step(following.circuit, step.transitions + following.transitions)


def admit(circuit: Circuit, lease: str, moment: Moment) -> Answer:
    """Ask for a permit: one without a lease where everybody may call, one of the few of a round of probing, or none."""
    step = _heard_of(circuit, moment).then(_policy_noted, moment).then(_awakened, moment)
    if step.circuit.override is Override.FORCED_OPEN:
        return Answer(step, False, ask_again_ms=_forced_until(step.circuit, moment))
    if step.circuit.override is Override.NONE and step.circuit.state is CircuitState.HALF_OPEN:
        step = step.then(reaped, moment).then(decided, moment)
    if step.circuit.override is not Override.NONE or step.circuit.state is CircuitState.CLOSED:
        return Answer(step, True)
    if step.circuit.state is CircuitState.OPEN:
        return Answer(step, False, ask_again_ms=step.circuit.until_ms)
    after = granted(step.circuit, lease, moment)
    if after is None:
        return Answer(step, False, ask_again_ms=ask_again_ms(step.circuit, moment))
    return Answer(Step(after, step.transitions), True, lease=True)


def settle(circuit: Circuit, generation: int, lease: str, result: Result, slow: bool, moment: Moment) -> Step:
    """Give a lease back with its result; of another generation it is late, an unknown one changes nothing."""
    step = _passed(circuit, moment)
    now = step.circuit
    if now.generation != generation:
        late = 0 if result is Result.EXCLUDED or now.generation == 0 else 1
        return Step(replace(now, late=now.late + late), step.transitions)
    if lease not in now.leases:
        return step
    after = returned(now, lease, result, slow)
    if result is Result.FAILURE:
        after = replace(after, last_failure_ms=moment.now_ms)
    return Step(after, step.transitions).then(decided, moment)


def renew(circuit: Circuit, lease: str, moment: Moment) -> Circuit | None:
    """Keep a lease alive; ``None`` if it is gone."""
    return renewed(circuit, lease, moment)


# -------------------------------------------------------------------------------------- requests of operators


def override(circuit: Circuit, wanted: Override, length_ms: int | None, soft: bool, moment: Moment) -> Step:
    """Begin an override (``None``: without end), or end the one there is with ``Override.NONE``."""
    step = _heard_of(circuit, moment)
    if wanted is not Override.NONE:
        return step.then(lambda c, m: change.overridden(c, m, wanted, length_ms, soft), moment)
    if step.circuit.override is Override.NONE:
        return step
    return step.then(lambda c, m: change.released(c, m, soft), moment)


def open_for(circuit: Circuit, length_ms: int, moment: Moment) -> Step:
    """Open now."""
    return _heard_of(circuit, moment).then(lambda c, m: change.opened_by_hand(c, m, length_ms), moment)


def reset(circuit: Circuit, moment: Moment) -> Step:
    """Begin anew."""
    return _heard_of(circuit, moment).then(change.reset, moment)


# ------------------------------------------------------------------------------------------- what time does


def _heard_of(circuit: Circuit, moment: Moment) -> Step:
    """The circuit with what time did to it; one that nobody knows, or that the store forgot, begins now."""
    if circuit.generation == 0:
        now = moment.now_ms
        circuit = replace(circuit, generation=max(1, now), since_ms=now, closed_since_ms=now)
    return _passed(circuit, moment)


def _passed(circuit: Circuit, moment: Moment) -> Step:
    if circuit.override is not Override.NONE and 0 < circuit.override_until_ms <= moment.now_ms:
        nobody = replace(moment, reporter="", actor="", why="")
        return change.released(circuit, nobody, circuit.override_soft)
    return Step(_decayed(circuit, moment))


def _decayed(circuit: Circuit, moment: Moment) -> Circuit:
    """Time CLOSED takes openings off, one per ``attempt_decay``."""
    if circuit.state is not CircuitState.CLOSED or circuit.attempts == 0:
        return circuit
    steps = min(circuit.attempts, (moment.now_ms - circuit.closed_since_ms) // moment.policy.decay_ms)
    if steps <= 0:
        return circuit
    since = circuit.closed_since_ms + steps * moment.policy.decay_ms
    return replace(circuit, attempts=circuit.attempts - steps, closed_since_ms=since)


def _policy_noted(circuit: Circuit, moment: Moment) -> Step:
    """With the policy of whoever asks; two that take turns are told once, not with each report."""
    ours, theirs = moment.policy.digest, circuit.digest
    if ours == theirs:
        return Step(circuit)
    after = replace(circuit, digest=ours, other_digest=theirs)
    if not theirs or ours == circuit.other_digest:
        return Step(after)
    told = line(circuit, after, moment, "policy_mismatch", {})
    return Step(after, (replace(told, previous=theirs, current=ours),))


def _awakened(circuit: Circuit, moment: Moment) -> Step:
    """Probing, if the cooldown is over."""
    if circuit.is_frozen or circuit.state is not CircuitState.OPEN or moment.now_ms < circuit.until_ms:
        return Step(circuit)
    return change.half_opened(circuit, moment)


def _forced_until(circuit: Circuit, moment: Moment) -> int:
    """An override without end is asked about again after a cooldown."""
    return circuit.override_until_ms or moment.now_ms + moment.policy.cooldown_ms


# ------------------------------------------------------------------------------------------- what calls do


def _folded(circuit: Circuit, report: Report, moment: Moment) -> Step:
    if circuit.override is Override.DISABLED:
        return Step(circuit)
    circuit = replace(circuit, refused=circuit.refused + report.refused)
    if circuit.override is Override.FORCED_OPEN or _is_empty(report):
        return Step(circuit)
    if _is_late(circuit, report):
        return Step(replace(circuit, late=circuit.late + report.counts.calls))
    if report.counts.failures:
        circuit = replace(circuit, last_failure_ms=moment.now_ms)
    if circuit.state is CircuitState.CLOSED:
        return _counted(circuit, report, moment)
    return _shadowed(circuit, report, moment)


def _is_empty(report: Report) -> bool:
    return report.counts == Counts() and report.trip_ms is None


def _is_late(circuit: Circuit, report: Report) -> bool:
    """Not of this life, or of one in which nobody calls without a lease."""
    if circuit.state is CircuitState.CLOSED:
        return report.generation not in (0, circuit.generation)
    return report.generation != circuit.generation or circuit.override is not Override.METRICS_ONLY


def _counted(circuit: Circuit, report: Report, moment: Moment) -> Step:
    """With the counts in the window; failures and slow calls may open the circuit."""
    bad = bool(report.counts.failures or report.counts.slow) or report.trip_ms is not None
    window = circuit.window.shaped(moment.policy).with_counts(report.counts, moment.now_ms)
    if bad:
        window = window.with_reporter(moment.reporter, moment.now_ms)
    circuit = replace(circuit, window=window)
    reason = _rule_broken(circuit, report, moment)
    if circuit.override is Override.FORCED_CLOSED:
        return _watched(circuit, reason if bad else "", bool(reason), moment)
    if not bad or not reason:
        return Step(circuit)
    return change.opened(circuit, moment, reason, _trip_length(report, moment) if reason == "tripped" else None)


def _rule_broken(circuit: Circuit, report: Report, moment: Moment) -> str:
    reporters = len(circuit.window.seen_by(moment.now_ms))
    if report.trip_ms is not None and reporters >= moment.policy.min_reporters:
        return "tripped"
    return exceeded(moment.policy, circuit.window.total(moment.now_ms), reporters)


def _trip_length(report: Report, moment: Moment) -> int | None:
    """What the other side asked for, up to the policy's longest; 0 is the policy's own cooldown."""
    return min(report.trip_ms, moment.policy.cooldown_max_ms) if report.trip_ms else None


def _watched(circuit: Circuit, reason: str, is_exceeded: bool, moment: Moment) -> Step:
    """FORCED_CLOSED: a threshold that is reached is told, once until the counts are below it again."""
    if not reason or circuit.exceeded:
        return Step(replace(circuit, exceeded=circuit.exceeded and is_exceeded))
    after = replace(circuit, exceeded=True)
    total = circuit.window.total(moment.now_ms)
    facts = {"calls": str(total.calls), "failures": str(total.failures), "slow": str(total.slow)}
    told = line(circuit, after, moment, "threshold_exceeded", facts)
    return Step(after, (replace(told, reason=reason),))


def _shadowed(circuit: Circuit, report: Report, moment: Moment) -> Step:
    """METRICS_ONLY beyond CLOSED: calls that would have been refused, or been probes."""
    if report.counts.calls == 0:
        return Step(circuit)
    if circuit.state is CircuitState.OPEN:
        refused = replace(circuit, refused=circuit.refused + report.counts.calls)
        return Step(refused).then(_awakened, moment)
    return Step(shadow_counted(circuit, report, moment)).then(decided, moment)
