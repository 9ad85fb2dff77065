"""Durations as operators type them: ``30s``, ``5m``, ``1h``, ``2d``, or seconds [click]."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST: Final = 365 * 86_400.0

#: What stands for no end.
UNLIMITED: Final = "unlimited"


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic in every release
    """
    A number of seconds; ``None`` for ``unlimited``, where that is allowed.

    Args:
        may_last: Whether ``unlimited`` is allowed.
    """

    name = "duration"

    def __init__(self, may_last: bool) -> None:
        self._may_last = may_last

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Read it."""
        if isinstance(value, (int, float)):
            return float(value)
        if self._may_last and value == UNLIMITED:
            return None
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", value.strip())
        seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
        if not 0 < seconds <= _LONGEST:
            also = f", or {UNLIMITED}" if self._may_last else ""
            self.fail(f"{value!r} is no duration: 30s, 5m, 1h, 2d, up to a year{also}", param, ctx)
        return seconds


def lasting(default: str = "1h") -> Callable[[_F], _F]:
    """How long a decision lasts; an end is the rule."""
    return click.option(
        "--for",
        "seconds",
        type=Duration(may_last=True),
        default=default,
        show_default=True,
        metavar="DURATION",
        help="30s, 5m, 1h, 2d; unlimited.",
    )
