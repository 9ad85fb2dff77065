"""Toggles of this process: asked without I/O, kept up by the lane."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, Protocol

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.events import ToggleChanged, emit
from fluxora_tasks.fallback.toggles import SwitchKind, ToggleStore, is_among
from fluxora_tasks.fallback.view import Rule, View, view_of
from fluxora_tasks.forks import watch_forks

#: Message: the version of the switches after a change.
CHANNEL: Final = "fx:tg:ev"

#: Seconds between two looks at the store where no message comes.
INTERVAL: Final = 1.0

_TOGGLE, _MODE = f"{SwitchKind.TOGGLE}:", f"{SwitchKind.MODE}:"


class LaneOf(Protocol):
    """The process's thread for shared state, as far as toggles know it."""

    def add(self, participant: Any) -> None:
        """Give it a turn from now on."""
        ...

    def wake(self, within: float, participant: Any = None) -> None:
        """Give it a turn within so many seconds."""
        ...


class Toggles:
    """The switches, as this process knows them.

    What was last known stays in force while the store is away; what has an end ends by itself.

    Args:
        store: Where they are kept.
        lane: Keeps them up; ``None``: the store is asked with each question, as one in memory may be.
        monotonic: Source of time.
        random: Decides for percentages of toggles that are asked about without a key.
    """

    channels: Sequence[str] = (CHANNEL,)
    interval = INTERVAL

    def __init__(
        self,
        store: ToggleStore,
        lane: LaneOf | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.store = store
        self._lane, self._monotonic = lane, monotonic
        self._random = random or Random()  # noqa: S311 - a share of calls, not a secret
        self._view, self._values = View(), dict[str, str]()
        self._joined = False
        self._lock = threading.Lock()
        watch_forks(self)

    def is_enabled(self, name: str, default: bool = True, key: str | None = None) -> bool:
        """
        Whether a feature is on.

        Args:
            default: The answer where nobody set it.
            key: Decides for a percentage, the same way everywhere; without one, chance does.
        """
        rule = self.toggle(name)
        if rule is None:
            return default
        if rule.percent is None:
            return rule.value == "on"
        return self._random.random() * 100 < rule.percent if key is None else is_among(name, key, rule.percent)

    def toggle(self, name: str) -> Rule | None:
        """What is set for a toggle."""
        return self._rule(_TOGGLE + name)

    def mode(self, operation: str) -> Rule | None:
        """What is set for an operation."""
        return self._rule(_MODE + operation)

    def refresh(self) -> None:
        """
        Read the store now.

        Raises:
            StoreUnavailable: it does not answer.
        """
        with self._lock:
            changes = self._changes()
        for change in changes:
            emit(change)

    def turn(self) -> None:
        """The lane's round trip."""
        self.refresh()

    def on_message(self, channel: str, payload: bytes) -> None:
        """Something was set or unset."""
        if self._lane is not None:
            self._lane.wake(0.0, self)

    def on_store(self, there: bool) -> None:
        """What is known stays in force until the store is back, and is read then."""

    def forked(self) -> None:
        """The lane's thread was not taken along; what is known was."""
        self._joined, self._lock = False, threading.Lock()

    def _rule(self, switch_id: str) -> Rule | None:
        if not self._joined:
            self._join()
        rules = self._view.rules
        return self._view.rule(switch_id, self._monotonic()) if switch_id in rules else None

    def _join(self) -> None:
        if self._lane is None:
            with contextlib.suppress(StoreUnavailable):
                self.refresh()
            return
        self._joined = True
        self._lane.add(self)
        self._lane.wake(0.0, self)

    def _changes(self) -> list[ToggleChanged]:
        known = self.store.read(self._view.version)
        now = self._monotonic()
        if known is not None:
            self._view = view_of(known, now)
        before, self._values = self._values, self._view.values(now)
        return _between(before, self._values)


def _between(before: Mapping[str, str], after: Mapping[str, str]) -> list[ToggleChanged]:
    """What became different."""
    pairs = ((switch_id, before.get(switch_id, ""), after.get(switch_id, "")) for switch_id in {**before, **after})
    return [ToggleChanged(*pair) for pair in sorted(pairs) if pair[1] != pair[2]]
