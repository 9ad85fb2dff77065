"""Switches and last good values in the memory of this process: for tests, and where there is no Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from fluxora_tasks.fallback.toggles import DEFAULT_SECONDS, Switch, SwitchChange, Switches, SwitchKind, milliseconds

#: Lines of history.
_HISTORY = 1000


class Turning(Protocol):
    """Who keeps up with the store."""

    def turn(self) -> None:
        """Look at it."""
        ...


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryToggleStore:
    """A ``ToggleStore`` of one process, and the lane of its own toggles: ``Toggles(store, store)``.

    Args:
        clock: ms; the store's clock.
    """

    def __init__(self, clock: Callable[[], int] = _wall_ms) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._version = 0
        self._switches: dict[str, Switch] = {}
        self._history: list[SwitchChange] = []
        self._participants: list[Turning] = []

    def add(self, participant: Turning) -> None:
        """Give it a turn with each change."""
        self._participants.append(participant)

    def wake(self, within: float, participant: Turning | None = None) -> None:
        """Give every participant its turn now."""
        for each in tuple(self._participants):
            each.turn()

    def put(self, switch: Switch, seconds: float | None = DEFAULT_SECONDS) -> Switch:
        """Set one."""
        with self._lock:
            now = self._clock()
            kept = replace(switch, since_ms=now, until_ms=0 if seconds is None else now + milliseconds(seconds))
            self._note(kept, "set", kept.value)
            self._switches[kept.id] = kept
        self.wake(0.0)
        return kept

    def remove(self, kind: SwitchKind, name: str, actor: str, why: str = "") -> bool:
        """Unset one."""
        with self._lock:
            now = self._clock()
            standing = self._standing(f"{kind}:{name}", now)
            if standing is None:
                return False
            self._note(replace(standing, actor=actor, why=why, since_ms=now, until_ms=0), "unset", "")
            del self._switches[standing.id]
        self.wake(0.0)
        return True

    def read(self, version: int = -1) -> Switches | None:
        """All of them, if something changed."""
        with self._lock:
            if version == self._version:
                return None
            now = self._clock()
            standing = (self._standing(switch_id, now) for switch_id in sorted(self._switches))
            return Switches(self._version, now, tuple(switch for switch in standing if switch is not None))

    def history(self, limit: int = 50) -> list[SwitchChange]:
        """The latest changes."""
        with self._lock:
            return self._history[::-1][:limit]

    def _standing(self, switch_id: str, now: int) -> Switch | None:
        switch = self._switches.get(switch_id)
        return switch if switch is not None and (not switch.until_ms or now < switch.until_ms) else None

    def _note(self, switch: Switch, event: str, current: str) -> None:
        before = self._standing(switch.id, switch.since_ms)
        previous = before.value if before is not None else ""
        self._history.append(
            SwitchChange(
                switch.since_ms, event, switch.kind, switch.name, previous, current, switch.actor, switch.why,
                switch.until_ms,
            )
        )  # fmt: skip
        del self._history[:-_HISTORY]
        self._version = max(self._version + 1, switch.since_ms)
