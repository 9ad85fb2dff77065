"""What one process knows of the switches: looked at without I/O, replaced as a whole (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fluxora_tasks.fallback.toggles import Switch, Switches, SwitchKind, percent_of


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody set for a toggle or an operation.

    Attributes:
        value: As in ``Switch``.
        percent: The number in it, if it is a percentage.
        until: Monotonic time at which it ends; infinite: it does not.
        level: The level that sets it; empty where it is set itself.
    """

    value: str
    percent: float | None = None
    until: float = math.inf
    level: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """All rules.

    Attributes:
        version: Of the switches they were made from.
        rules: ``kind:name`` -> rules, the one that wins first.
    """

    version: int = -1
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    def rule(self, switch_id: str, now: float) -> Rule | None:
        """The rule in force at a monotonic time."""
        rules = self.rules.get(switch_id)
        return None if rules is None else next((rule for rule in rules if now < rule.until), None)

    def values(self, now: float) -> dict[str, str]:
        """What is in force at a monotonic time, by ``kind:name``."""
        found = {switch_id: self.rule(switch_id, now) for switch_id in self.rules}
        return {switch_id: rule.value for switch_id, rule in found.items() if rule is not None}


def view_of(known: Switches, now: float) -> View:
    """The view of switches that were read at a monotonic time; only the store's clock tells when they end."""
    rules: dict[str, list[Rule]] = {}
    own = [switch for switch in known.switches if switch.kind is not SwitchKind.LEVEL]
    for switch in own:
        rules.setdefault(switch.id, []).append(_rule(switch.value, _until(switch, known.now_ms, now)))
    for level, until in _levels(known, now):
        for switch_id, value in level.members.items():
            rules.setdefault(switch_id, []).append(_rule(value, until, level.name))
    return View(known.version, {switch_id: tuple(found) for switch_id, found in rules.items()})


def _levels(known: Switches, now: float) -> Iterable[tuple[Switch, float]]:
    """Levels in force, and until when: the one switched on last comes first."""
    on = {s.name: s for s in known.switches if s.kind is SwitchKind.TOGGLE and s.value == "on"}
    levels = [(on[s.name], s) for s in known.switches if s.kind is SwitchKind.LEVEL and s.name in on]
    levels.sort(key=lambda pair: pair[0].since_ms, reverse=True)
    return [(level, _until(switch, known.now_ms, now)) for switch, level in levels]


def _until(switch: Switch, now_ms: int, now: float) -> float:
    return now + (switch.until_ms - now_ms) / 1000 if switch.until_ms else math.inf


def _rule(value: str, until: float, level: str = "") -> Rule:
    return Rule(value, percent_of(value), until, level)
