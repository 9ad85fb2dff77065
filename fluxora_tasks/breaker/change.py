"""How a circuit changes (pure): each change gives it a new generation and leaves a line of history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from fluxora_tasks.breaker.circuit import Circuit
from fluxora_tasks.breaker.cooldown import cooldown_ms, next_attempt
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Override, Transition
from fluxora_tasks.breaker.window import Window


@dataclass(frozen=True, slots=True)
class Moment:
    """
    What a step takes from outside.

    Attributes:
        now_ms: The store's clock.
        chance: From 0 to below 1; spreads the end of a cooldown.
        policy: The rules of whoever asks.
        reporter: The worker that asks.
        actor: The person that asks; ``why`` is the reason given.
    """

    now_ms: int
    chance: float
    policy: BreakerPolicy
    reporter: str = ""
    actor: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A circuit after a step, and what happened on the way."""

    circuit: Circuit
    transitions: tuple[Transition, ...] = ()

    def then(self, further: Callable[[Circuit, Moment], Step], moment: Moment) -> Step:
        """This step and a further one."""
        following = further(self.circuit, moment)
        return Step(following.circuit, self.transitions + following.transitions)


_NO_OVERRIDE: Final[dict[str, Any]] = {
    "override": Override.NONE,
    "override_until_ms": 0,
    "override_by": "",
    "override_why": "",
    "override_soft": False,
    "exceeded": False,
}
_NO_ROUND: Final[dict[str, Any]] = {"issued": 0, "ok": 0, "bad": 0, "lost": 0, "leases": {}}


def opened(circuit: Circuit, moment: Moment, reason: str, length_ms: int | None = None) -> Step:
    """OPEN for so long; ``None``: for the cooldown of its next attempt."""
    attempts = next_attempt(moment.policy, circuit.attempts)
    if length_ms is None:
        length_ms = cooldown_ms(moment.policy, attempts, moment.chance)
    until = moment.now_ms + length_ms
    after = _begun(circuit, moment, CircuitState.OPEN, reason, until_ms=until, attempts=attempts)
    tally = {} if reason == "manual" else _tally(circuit, moment.now_ms)
    return _moved(circuit, after, moment, "opened", {**tally, "attempts": str(attempts), "until_ms": str(until)})


def half_opened(circuit: Circuit, moment: Moment) -> Step:
    """HALF_OPEN: a round of probing begins."""
    after = _begun(circuit, moment, CircuitState.HALF_OPEN, "cooldown_over")
    return _moved(circuit, after, moment, "half_opened", {"attempts": str(circuit.attempts)})


def closed(circuit: Circuit, moment: Moment) -> Step:
    """CLOSED after a round of probing."""
    after = _begun(circuit, moment, CircuitState.CLOSED, "probes_succeeded")
    return _moved(circuit, after, moment, "closed", _tally(circuit, moment.now_ms))


def opened_by_hand(circuit: Circuit, moment: Moment, length_ms: int) -> Step:
    """OPEN because somebody wants it; an override ends with that."""
    step = opened(replace(circuit, **_NO_OVERRIDE), moment, "manual", length_ms)
    return Step(step.circuit, tuple(replace(one, previous=circuit.effective) for one in step.transitions))


def overridden(circuit: Circuit, moment: Moment, override: Override, length_ms: int | None, soft: bool) -> Step:
    """Under an operator's decision. The state stays where it is, but that FORCED_CLOSED pins it to CLOSED."""
    pinned = override is Override.FORCED_CLOSED and circuit.state is not CircuitState.CLOSED
    place = _begun(circuit, moment, CircuitState.CLOSED, "manual") if pinned else _renumbered(circuit, moment)
    until = 0 if length_ms is None else moment.now_ms + length_ms
    after = replace(
        place,
        reason="manual",
        override=override,
        override_until_ms=until,
        override_by=moment.actor,
        override_why=moment.why,
        override_soft=soft,
        exceeded=False,
        **_NO_ROUND,
    )
    return Step(after, (line(circuit, after, moment, "override_set", {"until_ms": str(until)}),))


def released(circuit: Circuit, moment: Moment, soft: bool) -> Step:
    """Without its override: CLOSED, the window kept by FORCED_CLOSED only; FORCED_OPEN may lead to HALF_OPEN."""
    softly = soft and circuit.override is Override.FORCED_OPEN
    state = CircuitState.HALF_OPEN if softly else CircuitState.CLOSED
    after = _begun(circuit, moment, state, "override_ended", attempts=0, **_NO_OVERRIDE)
    if circuit.override is Override.FORCED_CLOSED:
        after = replace(after, window=circuit.window)
    return Step(after, (line(circuit, after, moment, "override_ended", {}),))


def reset(circuit: Circuit, moment: Moment) -> Step:
    """CLOSED as on its first day; totals and history stay."""
    fresh = {"attempts": 0, "last_failure_ms": 0, **_NO_OVERRIDE}
    after = _begun(circuit, moment, CircuitState.CLOSED, "reset", **fresh)
    return Step(after, (line(circuit, after, moment, "reset", {}),))


def line(before: Circuit, after: Circuit, moment: Moment, event: str, facts: dict[str, str]) -> Transition:
    """A line of history about what decides."""
    return Transition(
        name=after.name,
        at_ms=moment.now_ms,
        event=event,
        previous=before.effective,
        current=after.effective,
        generation=after.generation,
        reason=after.reason,
        reporter=moment.reporter,
        actor=moment.actor,
        why=moment.why,
        facts=facts,
    )


def _moved(before: Circuit, after: Circuit, moment: Moment, event: str, facts: dict[str, str]) -> Step:
    """A step of the automatic state; under an override, METRICS_ONLY, the line tells that nothing was enforced."""
    if after.override is not Override.NONE:
        facts = {**facts, "override": after.override.value}
    told = line(before, after, moment, event, facts)
    return Step(after, (replace(told, previous=before.state.value, current=after.state.value),))


def _begun(circuit: Circuit, moment: Moment, state: CircuitState, reason: str, **others: Any) -> Circuit:
    """A new life in this state: empty window, no leases."""
    now = moment.now_ms
    fresh: dict[str, Any] = {"since_ms": now, "closed_since_ms": now, "until_ms": 0, "window": Window(), **_NO_ROUND}
    return replace(_renumbered(circuit, moment), state=state, reason=reason, **(fresh | others))


def _renumbered(circuit: Circuit, moment: Moment) -> Circuit:
    """With a generation that none had before, even if the store forgot the last one."""
    return replace(circuit, generation=max(circuit.generation + 1, moment.now_ms))


def _tally(circuit: Circuit, now_ms: int) -> dict[str, str]:
    """The numbers behind a decision."""
    if circuit.state is CircuitState.HALF_OPEN:
        return {"ok": str(circuit.ok), "bad": str(circuit.bad), "lost": str(circuit.lost)}
    counts = circuit.counts(now_ms)
    return {"calls": str(counts.calls), "failures": str(counts.failures), "slow": str(counts.slow)}
