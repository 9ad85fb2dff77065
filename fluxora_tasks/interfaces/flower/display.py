"""How values of a message are shown: payloads are hostile input (pure; escaping is the template's)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

#: Characters of one value on a page, at most.
LIMIT = 65_536

#: Characters that JSON may have on a single line.
_LINE = 80

#: Characters that change how the text around them looks, or cannot be sent: controls other than tab and line
#: feed, directional marks and overrides, invisible spaces and tags, lone surrogates.
_TRICKS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def shown(value: object, limit: int = LIMIT) -> str:
    """The value as text, tricky characters as ``\\u202e``, cut to ``limit`` characters with a note."""
    text = str(value).replace("\r\n", "\n")
    rest = len(text) - limit
    text = _TRICKS.sub(lambda found: f"\\u{ord(found.group()):04x}", text[:limit])
    return f"{text}… ({rest:,} more characters)" if rest > 0 else text


def brief(value: object, limit: int = 160) -> str:
    """The first line of the value, cut to ``limit`` characters."""
    text = str(value).strip()
    line = text.partition("\n")[0]
    cut = len(line) > limit or len(line) < len(text)
    return shown(line[:limit], limit) + ("…" if cut else "")


def pretty(value: Any) -> str:
    """Decoded JSON on one line where it is short, else indented; letters of every language as they are."""
    try:
        line = json.dumps(value, ensure_ascii=False, default=str)
        if len(line) <= _LINE:
            return shown(line)
        return shown(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    except (RecursionError, TypeError, ValueError):
        return "(nested too deeply to be shown here)"


def parts(name: str) -> list[str]:
    """A dotted name in the pieces between which a line may break."""
    return re.findall(r"[^._]*[._]+|[^._]+", name)


def moment(at: datetime) -> str:
    """Wall clock in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def words(name: str) -> str:
    """``retries_exhausted`` as ``retries exhausted``."""
    return shown(name).replace("_", " ")


def size(count: int) -> str:
    """Bytes with a unit a person reads."""
    if count < 1024:
        return f"{count} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KiB"
    return f"{count / (1024 * 1024):.1f} MiB"
