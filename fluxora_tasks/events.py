"""What happened, for whoever wants to know (bottom layer, pure): frozen dataclasses, ``emit`` and ``subscribe``.

A listener is called in the thread where it happened, outside any lock; one that raises is logged and never reaches the
task. Payloads and secrets are in no event. ``docs/reference/events.md`` lists them all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

Listener = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A circuit changed its state; emitted in every process that hears of it, once.

    Attributes:
        name: Of the circuit.
        previous: State before: CLOSED, OPEN, HALF_OPEN.
        current: State after.
        generation: Number of the new life; the same in every process.
        reason: As in ``breaker.record.Snapshot``.
        retry_after: Seconds until a probe may pass; 0 unless OPEN.
    """

    name: str
    previous: str
    current: str
    generation: int
    reason: str
    retry_after: float


@dataclass(frozen=True, slots=True)
class BreakerOverridden:
    """An operator's decision about a circuit began or ended."""

    name: str
    previous: str
    current: str
    actor: str
    why: str


@dataclass(frozen=True, slots=True)
class BreakerRefused:
    """Calls were refused; aggregated over about 10 s."""

    name: str
    count: int
    retry_after: float


@dataclass(frozen=True, slots=True)
class BreakerPolicyMismatch:
    """This process has another policy for a circuit than the fleet's last reporter."""

    name: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class BreakerStoreAway:
    """Shared state does not answer; circuits go on as their policies say."""

    error: str


@dataclass(frozen=True, slots=True)
class BreakerStoreBack:
    """Shared state answers again."""

    away_for: float


@dataclass(frozen=True, slots=True)
class TaskDeferred:
    """A message met an open circuit and was put off; no attempt was used.

    Attributes:
        deferrals: How often, this time included.
        delay: Seconds.
    """

    task: str
    task_id: str
    breaker: str
    deferrals: int
    delay: float


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """An attempt failed and another one will be made."""

    subject: str
    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True)
class RetryGivenUp:
    """An attempt failed and no other one will be made; ``reason`` as in ``retry.decision.GiveUpReason``."""

    subject: str
    attempt: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class FallbackUsed:
    """Fallback values were given instead of results: the first at once, then a sum per interval.

    Attributes:
        operation: Name of the guarded operation.
        source: Which step answered.
        cause: ``Outcome`` class of the failure, ``refused`` (by an open circuit) or ``manual``.
        count: Activations since the last such event.
    """

    operation: str
    source: str
    cause: str
    count: int


@dataclass(frozen=True, slots=True)
class FallbackEnded:
    """An operation gives results of its own again after fallback values."""

    operation: str
    lasted: float
    count: int


@dataclass(frozen=True, slots=True)
class ToggleChanged:
    """A feature toggle or a fallback mode has another value in this process."""

    name: str
    previous: str
    current: str


_listeners: list[Listener] = []


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` with every event of this process from now on; returns what ends that."""
    _listeners.append(listener)

    def unsubscribe() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return unsubscribe


def emit(event: Any) -> None:
    """Tell every listener; never raises."""
    for listener in tuple(_listeners):
        try:
            listener(event)
        except Exception:
            logger.exception("a listener failed on %s", type(event).__name__)
