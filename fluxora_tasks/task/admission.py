"""What to do with a message whose circuit refuses it (pure). The worker asks before a run, the body's side after one.

A refusal is no failure: it uses up no attempt. What bounds it is the time a message has been put off for since its last
run. That travels with the message as a sum of waits, so that no worker's clock takes part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from fluxora_tasks.deadletter.identity import DEFERRALS, DEFERRED_FOR
from fluxora_tasks.errors import CircuitBreakerError

#: Seconds of one wait: a shorter one would send the message round in a circle, a longer one miss an early recovery.
SHORTEST: Final = 1.25
LONGEST: Final = 60.0

#: Seconds until others ask again while a probe is under way: it may end long before its lease.
_PROBING: Final = 1.0

#: Seconds over which those that are put off together come back: per message of the last second, at least, at most.
_SPREAD_EACH, _SPREAD_LEAST, _SPREAD_MOST = 0.02, 2.0, 30.0

#: No message has been put off for longer, or more often; beyond that somebody else wrote the header.
_MANY: Final = 10**9


@dataclass(frozen=True, slots=True)
class Waited:
    """How often and how long a message has been put off since its last run.

    Attributes:
        seconds: Sum of the waits in the broker; time in a queue is not among them.
    """

    deferrals: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a task wants done about an open circuit.

    Attributes:
        on_open: "defer", "fallback" or "reject".
        max_defer: Seconds that a message may be put off for in all.
        has_fallback: Whether there is a fallback that was not asked yet.
    """

    on_open: str
    max_defer: float
    has_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Defer:
    """Put the message off, for so many seconds at most."""

    at_most: float


@dataclass(frozen=True, slots=True)
class RunFallback:
    """Have the fallback give the result."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Make it a dead letter of kind ``breaker_timeout``, with this text."""

    text: str


def decide(refusal: CircuitBreakerError, terms: Terms, waited: Waited) -> Defer | RunFallback | Refuse:
    """
    What becomes of a message whose circuit refuses it.

    A fallback that is wanted first and has no value leaves the message to be put off; one that is wanted last is asked
    when the time is up.
    """
    if terms.on_open == "reject":
        return Refuse(f"refused: circuit {refusal.name!r} is {refusal.state}")
    if terms.on_open == "fallback" and terms.has_fallback:
        return RunFallback()
    left = terms.max_defer - waited.seconds
    if left > 0:
        return Defer(left)
    if terms.has_fallback:
        return RunFallback()
    return Refuse(
        f"circuit {refusal.name!r} is still {refusal.state} after {waited.deferrals} deferrals, "
        f"{waited.seconds:,.0f} s in all"
    )


def delay_for(refusal: CircuitBreakerError, at_most: float, crowd: int, random: Random) -> float:
    """
    Seconds to put a message off: the rest of the cooldown, plus a random part that spreads those who wait for it.

    Args:
        at_most: What is left of ``max_defer``; a wait may end up to ``SHORTEST`` after it.
        crowd: Messages this process has put off within the last second.
    """
    spread = min(max(_SPREAD_LEAST, _SPREAD_EACH * crowd), _SPREAD_MOST)
    wait = min(refusal.retry_after, _PROBING) if refusal.state == "HALF_OPEN" else refusal.retry_after
    delay = min(max(wait, SHORTEST), LONGEST - spread) + random.uniform(0.0, spread)
    return max(SHORTEST, min(delay, at_most))


def terms_of(task: Any, max_defer: float, asked: bool = False) -> Terms:
    """
    The terms of a task.

    Args:
        max_defer: Where the task says nothing.
        asked: Its fallback was asked already.
    """
    has_fallback = task.fallback is not None
    on_open = task.on_open or ("fallback" if has_fallback else "defer")
    own = task.max_defer.total_seconds() if isinstance(task.max_defer, timedelta) else task.max_defer
    return Terms(on_open, max_defer if own is None else own, has_fallback and not asked)


def waited_of(headers: Any) -> Waited:
    """What the headers of a message say; nothing where they say what no message of ours would."""
    if not isinstance(headers, Mapping):
        return Waited()
    return Waited(int(_figure(headers.get(DEFERRALS))), _figure(headers.get(DEFERRED_FOR)))


def _figure(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0.0
    return min(max(0.0, value), _MANY)
