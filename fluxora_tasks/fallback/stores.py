"""Switches in the shared state [redis]: one hash, one stream of changes; only the server's clock counts."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.fallback.live import CHANNEL
from fluxora_tasks.fallback.toggles import (
    DEFAULT_SECONDS,
    Switch,
    SwitchChange,
    Switches,
    SwitchKind,
    milliseconds,
)
from fluxora_tasks.state import PREFIX, StateStore

logger = logging.getLogger(__name__)

#: One hash tag, so that both keys live on one node of a cluster.
SWITCHES_KEY: Final = f"{PREFIX}{{tg}}:s"
HISTORY_KEY: Final = f"{PREFIX}{{tg}}:e"

_HISTORY_LENGTH: Final = 1000
_HISTORY_TTL: Final = 30 * 86_400

_SCRIPTS: Final = files(__package__).joinpath("lua")


class RedisToggleStore:
    """A ``ToggleStore`` that all workers share."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._change, self._read = (
            state.script(_SCRIPTS.joinpath(f"{name}.lua").read_text()) for name in ("change", "switches")
        )

    def put(self, switch: Switch, seconds: float | None = DEFAULT_SECONDS) -> Switch:
        """Set one."""
        rest = {"actor": switch.actor, "why": switch.why, "about": switch.about, "members": dict(switch.members)}
        duration = 0 if seconds is None else milliseconds(seconds)
        what = [switch.id, switch.value, json.dumps(rest), duration, switch.actor, switch.why]
        since, until = self._changed(what)
        return replace(switch, since_ms=since, until_ms=until)

    def remove(self, kind: SwitchKind, name: str, actor: str, why: str = "") -> bool:
        """Unset one."""
        return self._changed([f"{kind}:{name}", "", "", 0, actor, why]) is not None

    def read(self, version: int = -1) -> Switches | None:
        """All of them, if something changed."""
        answer = self._read([SWITCHES_KEY], [version])
        if answer is None:
            return None
        now, fields = int(answer[0]), dict(zip(answer[1::2], answer[2::2], strict=True))
        found = (_switch(field.decode(), value) for field, value in fields.items() if field != b"v")
        standing = (switch for switch in found if switch is not None and not 0 < switch.until_ms <= now)
        return Switches(int(fields.get(b"v", 0)), now, tuple(sorted(standing, key=lambda switch: switch.id)))

    def history(self, limit: int = 50) -> list[SwitchChange]:
        """The latest changes."""
        lines: Any = self._state.run(lambda client: client.xrevrange(HISTORY_KEY, count=limit))
        return [
            _line({key.decode(): value.decode("utf-8", "replace") for key, value in fields.items()})
            for _, fields in lines
        ]

    def _changed(self, what: list[Any]) -> Any:
        return self._change([SWITCHES_KEY, HISTORY_KEY], [*what, _HISTORY_LENGTH, _HISTORY_TTL, CHANNEL])


def _switch(switch_id: str, text: bytes) -> Switch | None:
    """A switch as it was stored; ``None`` where a newer release stored something this one does not know."""
    kind, _, name = switch_id.partition(":")
    try:
        times, _, rest = text.decode().partition("\n")
        since, until, value = times.split(" ", 2)
        switch = Switch(SwitchKind(kind), name, value, **json.loads(rest))
        return replace(switch, since_ms=int(since), until_ms=int(until))
    except (ValueError, TypeError, AttributeError, ConfigurationError):
        logger.warning("a switch of this kind cannot be read here, it is left alone: %s", switch_id)
        return None


def _line(fields: Mapping[str, str]) -> SwitchChange:
    kind, _, name = fields["id"].partition(":")
    return SwitchChange(
        at_ms=int(fields["at"]),
        event="set" if fields["current"] else "unset",
        kind=kind,
        name=name,
        previous=fields["previous"],
        current=fields["current"],
        actor=fields["actor"],
        why=fields["why"],
        until_ms=int(fields["until"]),
    )
