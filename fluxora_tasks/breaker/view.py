"""View: a circuit as this process sees it, replaced as a whole, never changed (pure). Times are monotonic seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Override, Snapshot
from fluxora_tasks.breaker.tally import Tally

#: Seconds without word from the store after which a circuit is judged by what this process sees.
STALENESS: Final = 5.0

#: Seconds for which a refused probe is not asked for again, at most.
_ASK_AGAIN: Final = 0.25

#: ... and at least, so that many callers do not ask in a circle.
_ASK_SOON: Final = 0.02


class Source(StrEnum):
    """Who said so."""

    UNKNOWN = "unknown"
    SHARED = "shared"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class View:
    """
    What decides about calls here and now.

    Attributes:
        source: Who said so.
        snapshot: What they said.
        tally: Where calls admitted under this view are counted.
        at: When they said it.
        fast_until: Until then a call passes and only its success needs counting; never for calls that are timed.
        pass_until: Until then a call passes.
        refuse_until: Until then it is refused. After both times somebody must be asked.
        retry_at: When asking again makes sense, for a refused caller.
        is_provisional: By the count of this process; the store has not judged yet.
        state: What decides: the override if there is one, else the state.
    """

    source: Source
    snapshot: Snapshot
    tally: Tally
    at: float = 0.0
    fast_until: float = -math.inf
    pass_until: float = -math.inf
    refuse_until: float = -math.inf
    retry_at: float = 0.0
    is_provisional: bool = False
    state: str = field(init=False)

    def __post_init__(self) -> None:
        override = self.snapshot.override
        decides = self.snapshot.state if override is Override.NONE else override
        object.__setattr__(self, "state", decides.value)

    @property
    def is_open(self) -> bool:
        """Whether calls pass with a probe's permit only, or not at all."""
        override = self.snapshot.override
        if override is Override.NONE:
            return self.snapshot.state is not CircuitState.CLOSED
        return override is Override.FORCED_OPEN


def unsure(view: View, source: Source) -> View:
    """The same, but that nobody passes before somebody was asked; what is known to be open stays so for its time."""
    return replace(view, source=source, fast_until=-math.inf, pass_until=-math.inf)


def refusing(view: View, until: float) -> View:
    """Open by the count of this process, until the store has judged."""
    opened = replace(view.snapshot, state=CircuitState.OPEN)
    never = -math.inf
    return View(view.source, opened, view.tally, view.at, never, never, until, until, is_provisional=True)


def without_store(view: View, now: float, policy: BreakerPolicy) -> View:
    """Open or closed for as long as the store is away, as the policy says."""
    is_open = policy.on_store_down == "open"
    state = CircuitState.OPEN if is_open else CircuitState.CLOSED
    snapshot = replace(view.snapshot, state=state, reason="store_away")
    passes, refuses = (-math.inf, math.inf) if is_open else (math.inf, -math.inf)
    fast = -math.inf if is_timed(policy) else passes
    return View(Source.LOCAL, snapshot, view.tally, now, fast, passes, refuses, now + policy.cooldown)


def is_timed(policy: BreakerPolicy) -> bool:
    """Whether more than the success of a call counts."""
    return policy.slow_call is not None or policy.trip_on is not None


def view_of(
    snapshot: Snapshot, source: Source, tally: Tally, at: float, policy: BreakerPolicy, ask_again_ms: int | None = None
) -> View:
    """
    What a snapshot means for calls.

    Args:
        at: When it was received.
        ask_again_ms: A probe was refused: store time at which asking again makes sense.
    """
    passes, refuses, retry = _limits(snapshot, source, at, policy, ask_again_ms)
    fast = -math.inf if is_timed(policy) else passes
    return View(source, snapshot, tally, at, fast, passes, refuses, retry)


def _limits(
    snapshot: Snapshot, source: Source, at: float, policy: BreakerPolicy, ask_again_ms: int | None
) -> tuple[float, float, float]:
    """``pass_until``, ``refuse_until`` and ``retry_at``."""

    def when(store_ms: int) -> float:
        return at + (store_ms - snapshot.now_ms) / 1000

    # what an operator decided holds until its end, with or without a store
    overrides = when(snapshot.override_until_ms) if snapshot.override_until_ms else math.inf
    if snapshot.override is Override.FORCED_OPEN:
        return -math.inf, overrides, overrides if overrides < math.inf else at + policy.cooldown
    if snapshot.override is not Override.NONE:
        return overrides, -math.inf, at
    # a circuit of this process alone is brought up to date once per bucket
    confirmed = at + (STALENESS if source is Source.SHARED else policy.bucket_ms / 1000)
    if snapshot.state is CircuitState.CLOSED:
        return confirmed, -math.inf, at
    if snapshot.state is CircuitState.OPEN:
        return -math.inf, when(snapshot.until_ms), when(snapshot.until_ms)
    if ask_again_ms is None:
        return -math.inf, -math.inf, at
    again = at + max(_ASK_SOON, (ask_again_ms - snapshot.now_ms) / 1000)
    return -math.inf, min(again, at + _ASK_AGAIN), again
