"""Values of numbers and times, and their one spelling (pure)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_DURATION: Final = re.compile(r"([0-9]{1,10}[smhdw])+")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

#: Longest age; anything before it is older than any record.
_OLDEST: Final = 100 * 365 * 86400

A_DAY: Final = timedelta(days=1)


def number(text: str) -> int:
    """A whole number from 0, of at most 18 digits.

    Raises:
        ValueError: it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a whole number")
    return int(text)


def duration(text: str) -> int:
    """Seconds of ``90s``, ``1h30m``, ``2d``, ``1w``; at most a hundred years.

    Raises:
        ValueError: it is none.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a duration such as 90s, 1h30m, 2d or 1w")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9]+)([smhdw])", text))
    if seconds > _OLDEST:
        raise ValueError(f"{text[:80]!r} is more than a hundred years")
    return seconds


def is_day(text: str) -> bool:
    """Whether a text has the form of a day."""
    return _DAY.fullmatch(text) is not None


def moment(text: str) -> datetime:
    """A moment, or the beginning of a day; in UTC, as which one without a zone is read.

    Raises:
        ValueError: it is none.
    """
    if not is_day(text) and not _MOMENT.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a time such as 2026-11-01 or 2026-11-01T12:00:00Z")
    try:
        parsed = datetime.fromisoformat(text.upper())
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{text[:80]!r} is not a time that exists") from exc


def day_after(text: str) -> datetime:
    """The beginning of the day after a day.

    Raises:
        ValueError: there is none.
    """
    try:
        return moment(text) + A_DAY
    except OverflowError as exc:
        raise ValueError(f"{text[:80]!r} is too late") from exc


def spelled(value: datetime) -> str:
    """A moment in its one spelling."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
