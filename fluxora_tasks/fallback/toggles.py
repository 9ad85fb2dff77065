"""Switches that operators set: feature toggles, modes of operations, levels of degradation (pure).

A switch has an actor, a reason and, unless it is said otherwise, an end. A level stands for several switches at once;
it is in force while the toggle of its name is on. What is set for a name itself wins over every level.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from fluxora_tasks.errors import ConfigurationError

#: Seconds a switch stays set where nothing else is said.
DEFAULT_SECONDS: Final = 3600.0

_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*%")


class SwitchKind(StrEnum):
    """What a switch is about."""

    TOGGLE = "toggle"
    MODE = "mode"
    LEVEL = "level"


class Mode(StrEnum):
    """How an operation uses its fallback: where its call fails · without calling it · never."""

    AUTO = "auto"
    ALWAYS = "always"
    OFF = "off"


#: Words beside a percentage. Of an operation's mode, a percentage is the share of calls that are not made.
_WORDS: Final = {SwitchKind.TOGGLE: ("on", "off"), SwitchKind.MODE: tuple(Mode), SwitchKind.LEVEL: ("defined",)}


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch; checked when built.

    Attributes:
        kind: What it is about.
        name: Of the toggle, the operation or the level.
        value: Toggle: ``on``, ``off`` or ``25%``. Mode: ``auto``, ``always``, ``off`` or ``25%``. Level: ``defined``.
        actor: Who set it; ``why`` likewise.
        about: What it is for, for people.
        members: Level: what it sets, as ``kind:name`` -> value.
        since_ms: When it was set, by the store's clock; the store's to fill in, like ``until_ms``.
        until_ms: When it ends by itself; 0: it does not.
    """

    kind: SwitchKind
    name: str
    value: str
    actor: str = ""
    why: str = ""
    about: str = ""
    members: Mapping[str, str] = field(default_factory=dict)
    since_ms: int = 0
    until_ms: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", SwitchKind(self.kind))
        object.__setattr__(self, "name", _name(self.name))
        object.__setattr__(self, "value", value_of(self.kind, self.value))
        object.__setattr__(self, "members", {_member(key): _member_value(key, v) for key, v in self.members.items()})
        if bool(self.members) != (self.kind is SwitchKind.LEVEL):
            raise ConfigurationError("a level names what it sets, and nothing else does")

    @property
    def id(self) -> str:
        """``kind:name``."""
        return f"{self.kind}:{self.name}"


def value_of(kind: SwitchKind, text: str) -> str:
    """
    A value as it is stored: lower case, a percentage with its sign.

    Raises:
        ConfigurationError: it is none of that kind.
    """
    word = str(text).strip().lower()
    if word in _WORDS[kind]:
        return word
    if kind is not SwitchKind.LEVEL and percent_of(word) is not None:
        return word.replace(" ", "")
    expected = " or ".join(repr(str(known)) for known in _WORDS[kind])
    raise ConfigurationError(f"a {kind} is {expected} or a percentage like '25%'; got {text!r}")


def percent_of(value: str) -> float | None:
    """The number in a percentage from 0 to 100; ``None`` for anything else."""
    found = _PERCENT.fullmatch(value)
    number = float(found[1]) if found else None
    return number if number is not None and number <= 100 else None


def is_among(name: str, key: str, percent: float) -> bool:
    """Whether a key is among so many percent: the same answer everywhere, and those of 10 % are among those of 20 %."""
    digest = hashlib.blake2b(f"{name}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < percent / 100 * 2**64


def milliseconds(seconds: float) -> int:
    """
    How long a switch stays set, in ms.

    Raises:
        ConfigurationError: not above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise ConfigurationError(f"a switch stays set for a number of seconds above 0, or None; got {seconds!r}")
    return max(1, round(seconds * 1000))


def _name(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        raise ConfigurationError(f"a switch has a name of 1 to 200 printable characters; got {name!r}")
    return name


def _member(key: str) -> str:
    kind, _, name = key.partition(":")
    if kind not in (SwitchKind.TOGGLE, SwitchKind.MODE):
        raise ConfigurationError(f"a level sets 'toggle:<name>' and 'mode:<operation>'; got {key!r}")
    return f"{kind}:{_name(name)}"


def _member_value(key: str, value: str) -> str:
    return value_of(SwitchKind(key.partition(":")[0]), value)


@dataclass(frozen=True, slots=True)
class Switches:
    """All switches as the store saw them.

    Attributes:
        version: Grows with each change.
        now_ms: The store's clock when it answered.
        switches: Those that have not ended, sorted by id.
    """

    version: int = 0
    now_ms: int = 0
    switches: tuple[Switch, ...] = ()


@dataclass(frozen=True, slots=True)
class SwitchChange:
    """One line of the history.

    Attributes:
        event: ``set`` or ``unset``.
        previous: Value before; empty where none was set. ``current`` likewise after.
        until_ms: When it ends by itself; 0: it does not.
    """

    at_ms: int
    event: str
    kind: str
    name: str
    previous: str
    current: str
    actor: str
    why: str
    until_ms: int = 0


class ToggleStore(Protocol):
    """Keeps switches. Every method may raise ``StoreUnavailable``; nothing was done then."""

    def put(self, switch: Switch, seconds: float | None = DEFAULT_SECONDS) -> Switch:
        """Set one, atomically; as it is kept, with its times. ``None``: it does not end by itself."""
        ...

    def remove(self, kind: SwitchKind, name: str, actor: str, why: str = "") -> bool:
        """Unset one; ``False`` if it was not set."""
        ...

    def read(self, version: int = -1) -> Switches | None:
        """All of them; ``None`` if nothing changed since that version."""
        ...

    def history(self, limit: int = 50) -> list[SwitchChange]:
        """The latest changes, newest first."""
        ...
