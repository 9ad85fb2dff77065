"""Text and documents for a terminal or a pipe; payloads are hostile input (pure, but for printing).

A control character of a payload never reaches the terminal: it is shown as ``\\x1b``. Line breaks, tabs stay.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

# C0 but tab and line feed, DEL, C1, marks that turn the direction of text, separators, halves of pairs
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

#: Deepest nesting that is written out; beyond it a value is named, not shown.
_DEEPEST = 200


def printable(text: str) -> str:
    """The text with everything a terminal would obey written out; line breaks and tabs stay."""
    return _UNSAFE.sub(_escaped, text)


def one_line(text: str, limit: int | None = None) -> str:
    """The text on one line, at most ``limit`` characters, safe to print."""
    flat = printable(" ".join(text.split()))
    return flat if limit is None or len(flat) <= limit else f"{flat[: limit - 1]}…"


def document(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON, safe to print; readable as it is where standard output can show it."""
    text = json.dumps(_plain(value), ensure_ascii=not _speaks_unicode(), indent=indent, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_document(value: Any) -> None:
    """One document on standard output."""
    click.echo(document(value))


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    for name, value in fields:
        click.echo(f"{click.style(f'{name:<9}', bold=True)} {printable(value.strip())}")


def print_title(title: str) -> None:
    """What the lines after it are about."""
    click.echo()
    click.secho(title, bold=True)


def time_text(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, microseconds always written."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def age(moment: datetime, now: datetime) -> str:
    """How long ago, in its greatest unit: ``42s``, ``7m``, ``3h``, ``12d``."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _escaped(found: re.Match[str]) -> str:
    point = ord(found[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def _plain(value: Any, depth: int = 0) -> Any:
    """The value with only what JSON has: a float that is no number becomes text, great depth is cut."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, (Mapping, list, tuple)) and depth >= _DEEPEST:
        return "… nested deeper than shown"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item, depth + 1) for item in value]
    return value


def _speaks_unicode() -> bool:
    try:
        return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    except LookupError:
        return False
