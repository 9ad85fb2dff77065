"""BreakerPolicy: when a circuit opens, for how long, and what closes it again (pure)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from fluxora_tasks.errors import ConfigurationError

#: What ``trip_on`` may answer: no opinion · open now · open now for so many seconds · until then.
Trip = bool | float | timedelta | datetime | None

StoreDown = Literal["local", "open", "closed"]

#: Upper bound of every duration, in seconds: a week.
_LONGEST: Final = 604_800.0


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """The rules of one circuit; checked when built. Durations are seconds; a ``timedelta`` is taken, too.

    Attributes:
        window: Span of counting; from 1.
        buckets: Slices of the window that are forgotten together; 1 to 60.
        min_calls: Calls in the window below which the two rates open nothing; from 1.
        failure_rate: Failures per call that open, 0 exclusive to 1; reaching it is enough.
        all_failed: Failures in the window, without one success, that open; from 1. ``None``: never by this rule.
        slow_call: Length of a call that counts as slow. ``None``: none does.
        slow_rate: Slow calls per call that open, 0 exclusive to 1.
        cooldown: First time open before a probe may pass; from 0.
        multiplier: Growth of it with each opening; from 1.
        cooldown_max: Longest time open.
        jitter: Share of the cooldown that chance adds; 0 to 1.
        attempt_decay: Time closed that takes one opening off that growth. ``None``: one window.
        probes: Calls let through in one round of probing; from 1.
        probes_required: Successes among them that close; 1 to ``probes``.
        concurrent_probes: Probes under way at once; from 1.
        probe_lease: How long a probe counts that gives no sign of life; from 0.1.
        half_open_max: Longest round of probing before the circuit opens again. ``None``: no limit.
        min_reporters: Workers that must have seen failures before it opens; from 1.
        trip_on: Asked about each failure's exception (or, with ``.call``, a returned value): see ``Trip``.
        on_store_down: Without shared state "local": judge by what this process sees · "open": refuse · "closed": let
            pass.
    """

    window: float = 60.0
    buckets: int = 12
    min_calls: int = 10
    failure_rate: float = 0.5
    all_failed: int | None = 5
    slow_call: float | None = None
    slow_rate: float = 1.0
    cooldown: float = 5.0
    multiplier: float = 2.0
    cooldown_max: float = 300.0
    jitter: float = 0.1
    attempt_decay: float | None = None
    probes: int = 3
    probes_required: int = 3
    concurrent_probes: int = 1
    probe_lease: float = 30.0
    half_open_max: float | None = None
    min_reporters: int = 1
    trip_on: Callable[[Any], Trip] | None = None
    on_store_down: StoreDown = "local"

    def __post_init__(self) -> None:
        for name, (low, high, optional) in _DURATIONS.items():
            object.__setattr__(self, name, _number(name, getattr(self, name), low, high, optional))
        for name, (low, high, optional) in _COUNTS.items():
            _count(name, getattr(self, name), low, high, optional)
        for name in ("failure_rate", "slow_rate"):
            if _number(name, getattr(self, name), 0.0, 1.0, False) == 0:
                raise ConfigurationError(f"{name} is above 0; got 0")
        if self.probes_required > self.probes:
            raise ConfigurationError(f"probes_required is at most probes ({self.probes}); got {self.probes_required}")
        if self.cooldown_max < self.cooldown:
            raise ConfigurationError(f"cooldown_max is at least cooldown ({self.cooldown}); got {self.cooldown_max}")
        if self.trip_on is not None and not callable(self.trip_on):
            raise ConfigurationError(f"trip_on takes a function of the exception; got {self.trip_on!r}")
        if self.on_store_down not in ("local", "open", "closed"):
            raise ConfigurationError(f"on_store_down is 'local', 'open' or 'closed'; got {self.on_store_down!r}")

    @property
    def bucket_ms(self) -> int:
        """Length of one bucket in ms."""
        return max(1, round(self.window * 1000 / self.buckets))

    @property
    def cooldown_ms(self) -> int:
        """``cooldown`` in ms."""
        return round(self.cooldown * 1000)

    @property
    def cooldown_max_ms(self) -> int:
        """``cooldown_max`` in ms."""
        return round(self.cooldown_max * 1000)

    @property
    def decay_ms(self) -> int:
        """``attempt_decay`` in ms."""
        return max(1, round((self.window if self.attempt_decay is None else self.attempt_decay) * 1000))

    @functools.cached_property
    def digest(self) -> str:
        """Eight characters that differ where a number in force differs; ``trip_on`` and ``on_store_down`` are local."""
        numbers = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in ("trip_on", "on_store_down")]
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:8]


#: Name -> least, most, whether None is allowed.
_DURATIONS: Final[dict[str, tuple[float, float, bool]]] = {
    "window": (1.0, 86_400.0, False),
    "slow_call": (0.001, _LONGEST, True),
    "cooldown": (0.0, _LONGEST, False),
    "multiplier": (1.0, 100.0, False),
    "cooldown_max": (0.0, _LONGEST, False),
    "jitter": (0.0, 1.0, False),
    "attempt_decay": (0.001, _LONGEST, True),
    "probe_lease": (0.1, 86_400.0, False),
    "half_open_max": (0.1, _LONGEST, True),
}
_COUNTS: Final[dict[str, tuple[int, int, bool]]] = {
    "buckets": (1, 60, False),
    "min_calls": (1, 1_000_000, False),
    "all_failed": (1, 1_000_000, True),
    "probes": (1, 1000, False),
    "probes_required": (1, 1000, False),
    "concurrent_probes": (1, 1000, False),
    "min_reporters": (1, 32, False),
}


def _number(name: str, value: Any, low: float, high: float, optional: bool) -> float | None:
    if value is None and optional:
        return None
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not low <= number <= high:
        raise ConfigurationError(f"{name} is a number from {low:g} to {high:g}; got {value!r}")
    return float(number)


def _count(name: str, value: Any, low: int, high: int, optional: bool) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(f"{name} is a whole number from {low} to {high}; got {value!r}")
