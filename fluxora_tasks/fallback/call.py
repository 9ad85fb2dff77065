"""A call that needs a fallback, the answer to it, and the key of its arguments (pure)."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

#: Types whose text tells their values apart.
_BY_TEXT: Final = (date, datetime, time, timedelta, Decimal, UUID, PurePath, complex)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that failed, or that an operator wants answered without being made.

    Attributes:
        operation: Name of what was called.
        error: Why it failed; ``None``: it was not made.
    """

    operation: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a strategy gives.

    Attributes:
        source: Which one.
        age: Seconds since the value was true, where known.
        stale: Whether that is more than somebody called fresh.
    """

    value: Any
    source: str
    age: float | None = None
    stale: bool = False


def argument_key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """
    32 characters that are the same for the same arguments, in every process and release.

    Arguments are taken as they are given: ``f(1)`` and ``f(x=1)`` have different keys. Keys of a dict count as text.

    Raises:
        TypeError: an argument has no JSON form.
    """
    text = json.dumps([args, kwargs], sort_keys=True, default=_tagged, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _tagged(value: Any) -> Any:
    """What JSON cannot spell, with its type, so that a date and its text differ."""
    if isinstance(value, enum.Enum):
        return {"": [type(value).__qualname__, value.name]}
    if isinstance(value, _BY_TEXT):
        return {"": [type(value).__name__, str(value)]}
    if isinstance(value, (bytes, bytearray)):
        return {"": ["bytes", value.hex()]}
    if isinstance(value, (set, frozenset)):
        return {"": ["set", sorted(argument_key((item,), {}) for item in value)]}
    raise TypeError(f"{type(value).__name__} has no JSON form")
