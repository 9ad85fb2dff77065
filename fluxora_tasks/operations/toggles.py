"""Toggles, modes and levels for operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.fallback.stores import RedisToggleStore
from fluxora_tasks.fallback.toggles import Switch, SwitchChange, SwitchKind, ToggleStore
from fluxora_tasks.operations.acting import each, time_of, until_text
from fluxora_tasks.operations.records import ActionResult, Actor
from fluxora_tasks.state import StateStore


@dataclass(frozen=True, slots=True)
class SwitchSummary:
    """One row of a list; the field names are public (``--json``).

    Attributes:
        id: What a command takes: ``NAME`` of a toggle, ``mode:OPERATION``, ``level:NAME``.
        until: When it ends by itself; ``None``: it does not.
        members: Level: what it sets.
    """

    id: str
    kind: str
    name: str
    value: str
    since: datetime | None
    until: datetime | None
    by: str
    why: str
    members: Mapping[str, str] = field(default_factory=dict)


class ToggleOperations:
    """
    What an operator may do with switches.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: ToggleStore) -> None:
        self._store = store

    def list(self) -> Sequence[SwitchSummary]:
        """All that are set, by id."""
        known = self._store.read()
        return [] if known is None else [_summary(switch) for switch in known.switches]

    def history(self, limit: int = 50) -> Sequence[SwitchChange]:
        """The latest changes, newest first."""
        return self._store.history(limit)

    def set(
        self, ids: Sequence[str], value: str, seconds: float | None, actor: Actor, members: Mapping[str, str]
    ) -> Sequence[ActionResult]:
        """
        Set switches for so many seconds; ``None``: until somebody unsets them.

        Args:
            value: See ``Switch``; of a level ``defined``.
            members: Of a level: what it sets.
        """

        def put(switch_id: str) -> ActionResult:
            kind, name = kind_and_name(switch_id)
            switch = Switch(kind, name, value, actor.name, actor.reason, members=members)
            kept = self._store.put(switch, seconds)
            return ActionResult(switch_id, "done", kept.value, until_text(kept.until_ms))

        return each(ids, put)

    def unset(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Have switches no more."""

        def remove(switch_id: str) -> ActionResult:
            kind, name = kind_and_name(switch_id)
            if self._store.remove(kind, name, actor.name, actor.reason):
                return ActionResult(switch_id, "done", None, "")
            return ActionResult(switch_id, "unknown", None, "it is not set")

        return each(ids, remove)


def open_toggles(state: StateStore | None) -> ToggleOperations:
    """
    The operations on the switches of an application.

    Raises:
        ConfigurationError: there is no shared state, so each process has switches of its own.
    """
    if state is None:
        raise ConfigurationError("toggles are shared through Redis: set FLUXORA_REDIS_URL")
    return ToggleOperations(RedisToggleStore(state))


def kind_and_name(switch_id: str) -> tuple[SwitchKind, str]:
    """What an id means: a toggle, unless it says otherwise (pure)."""
    kind, colon, name = switch_id.partition(":")
    if colon and kind in tuple(SwitchKind):
        return SwitchKind(kind), name
    return SwitchKind.TOGGLE, switch_id


def _summary(switch: Switch) -> SwitchSummary:
    shown = switch.name if switch.kind is SwitchKind.TOGGLE else switch.id
    return SwitchSummary(
        id=shown,
        kind=switch.kind.value,
        name=switch.name,
        value=switch.value,
        since=time_of(switch.since_ms),
        until=time_of(switch.until_ms),
        by=switch.actor,
        why=switch.why,
        members=dict(switch.members),
    )
