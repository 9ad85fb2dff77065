"""What this process says about its circuits: events for listeners, one log line per change."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fluxora_tasks.breaker.record import CircuitState, Override, Snapshot
from fluxora_tasks.breaker.view import View
from fluxora_tasks.events import BreakerChanged, BreakerOverridden, BreakerPolicyMismatch, BreakerRefused, emit

logger = logging.getLogger("fluxora_tasks.breaker")


def differences(name: str, before: View, after: View) -> list[Any]:
    """The events between two views of a circuit (pure)."""
    events: list[Any] = []
    old, new = before.snapshot, after.snapshot
    if before.is_provisional:
        old = replace(old, state=CircuitState.CLOSED)
    if old.override is not new.override:
        ended = new.override is Override.NONE
        actor, why = (old.override_by, old.override_why) if ended else (new.override_by, new.override_why)
        events.append(BreakerOverridden(name, old.override.value, new.override.value, actor, why))
    if new.override is Override.NONE and _has_moved(old, new):
        wait = max(0.0, after.retry_at - after.at) if new.state is CircuitState.OPEN else 0.0
        events.append(BreakerChanged(name, old.state.value, new.state.value, new.generation, new.reason, wait))
    return events


def _has_moved(old: Snapshot, new: Snapshot) -> bool:
    opened_again = new.state is CircuitState.OPEN and old.generation != new.generation
    return old.state is not new.state or opened_again


def tell(events: Iterable[Any]) -> None:
    """Log and emit them; never under a lock."""
    for event in events:
        _log(event)
        emit(event)


def _log(event: Any) -> None:
    if isinstance(event, BreakerChanged):
        level = logging.WARNING if event.current == CircuitState.OPEN else logging.INFO
        line = "circuit %s: %s -> %s (%s)%s"
        rest = f", a probe may pass in {event.retry_after:.1f} s" if event.retry_after else ""
        logger.log(level, line, _shown(event.name), event.previous, event.current, event.reason, rest)
    elif isinstance(event, BreakerOverridden):
        line = "circuit %s: override %s -> %s by %r: %r"
        logger.warning(line, _shown(event.name), event.previous, event.current, event.actor, event.why)
    elif isinstance(event, BreakerRefused):
        logger.warning("circuit %s refused %d calls", _shown(event.name), event.count)
    elif isinstance(event, BreakerPolicyMismatch):
        line = "circuit %s has another policy elsewhere: %s here, %s there; whoever reports last is obeyed"
        logger.warning(line, _shown(event.name), event.ours, event.theirs)


def _shown(name: str) -> str:
    """Names come from arguments of tasks."""
    return repr(name) if name else "(unnamed)"
