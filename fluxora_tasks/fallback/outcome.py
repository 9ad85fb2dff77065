"""How a guarded call ended, and the last such ending of this thread or coroutine (pure)."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

#: ``source`` of a result that the guarded call gave itself.
PRIMARY: Final = "primary"

#: ``cause`` of a fallback that an operator asked for.
MANUAL: Final = "manual"

#: ``cause`` of a fallback for a call that an open circuit refused.
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class FallbackOutcome:
    """What a guarded call gave.

    Attributes:
        value: What was given instead of a result. ``None`` in ``last_outcome()`` of a result of the call's own, which
            is not kept alive here.
        operation: Name of what was guarded.
        degraded: Whether the value came from a fallback.
        source: The step it came from; ``primary`` for the call itself.
        age: Seconds since the value was true; ``None`` where nobody knows.
        stale: Whether that is more than the step's ``soft_age``.
        cause: ``classification.Outcome`` of the failure; ``refused`` by an open circuit, or ``manual`` where an
            operator asked for the fallback; else empty.
        error: Qualified name of the failure's class; empty without one.
        attempts: Runs of the call behind this outcome; retries inside the call are part of one run. 0: it was not made.
        breaker: The open circuit that refused the call; empty for another cause.
        failed: What became of the steps before the one that gave the value.
    """

    value: Any = None
    operation: str = ""
    degraded: bool = False
    source: str = PRIMARY
    age: float | None = None
    stale: bool = False
    cause: str = ""
    error: str = ""
    attempts: int = 1
    breaker: str = ""
    failed: tuple[str, ...] = ()

    def meta(self) -> dict[str, Any]:
        """What may be kept beside a result, or shown to whoever asked for it: no value, no text of an error."""
        return {"degraded": self.degraded, "source": self.source, "age": self.age, "cause": self.cause}

    def headers(self) -> dict[str, str]:
        """HTTP headers that mark an answer as degraded; none for a result of the call's own."""
        if not self.degraded:
            return {}
        age = {} if self.age is None else {"Age": str(int(self.age))}
        return {"Fluxora-Degraded": f"source={self.source}; cause={self.cause}", **age}


_last: ContextVar[FallbackOutcome | None] = ContextVar("fluxora_last_outcome", default=None)
_activations: ContextVar[int] = ContextVar("fluxora_fallback_activations", default=0)

#: Take note of the outcome of a call that has just ended.
remember = _last.set


def last_outcome() -> FallbackOutcome | None:
    """How the last guarded call of this thread or coroutine ended; ``None``: there was none, or it raised."""
    return _last.get()


def forget_outcome() -> None:
    """What comes next is another call, or another task: the last outcome is none of its own."""
    _last.set(None)


def activations() -> int:
    """Fallback values given in this context so far; a result made while this grew is not all primary."""
    return _activations.get()


def count_activation() -> None:
    """Take note that a fallback value was given."""
    _activations.set(_activations.get() + 1)
