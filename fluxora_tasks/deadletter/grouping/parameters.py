"""A text without its values: what is left is the same for all failures of one sort (pure).

Every pattern runs in linear time on any text: runs are possessive, and no two attempts begin in the same run.
"""

from __future__ import annotations

import re
from typing import Final

#: Characters that are kept of the result, and of any part.
LONGEST: Final = 200

#: Characters that are looked at: 200 of what they become are kept.
_LOOKED_AT: Final = 4096

#: Passes until nothing changes: a cut, or a placeholder beside it, can make a value of what was none.
_PASSES: Final = 5

_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DAY: Final = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?[ ])?"
_TIME: Final = r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE: Final = r"(?:[ ]?(?:z|utc|gmt|[+-]\d\d:?\d\d)\b)?"

_QUOTES: Final = ("''", '""', "``", "“”", "‘’", "«»", "„“")  # noqa: RUF001 - they are what is meant

#: Placeholder, what its values look like, and of what a text has some where it has one; in this order.
_VALUES: Final = (
    ("url", r"(?<![\w+.-])[\w+.-]++://[^\s'\"<>`]*+", r"://"),
    ("email", r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)*+", r"@"),
    ("uuid", r"(?<![0-9a-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-z])", r"-"),
    (
        "ip",
        r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)"
        r"|(?<![\w:.])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
        r"|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?)(?:%\w+)?(?![\w:])",
        r"\d\.\d|[0-9a-f:]:[0-9a-f:]",
    ),
    (
        "timestamp",
        r"datetime\.(?:datetime|date|time)\((?:[^()]|\([^()]*+\))*+\)"
        rf"|(?<!\d)\d{{4}}[-/]\d\d[-/]\d\d(?!\d)(?:[t ]?\d\d:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?{_ZONE})?"
        rf"|(?<!\w){_DAY}\d{{1,2}}[ /-]{_MONTH}[ /-]\d{{4}}(?:[ :]{_TIME}{_ZONE})?"
        rf"|(?<!\w){_DAY}{_MONTH}[ ]\d{{1,2}}[ ]{_TIME}(?:[ ]\d{{4}})?"
        rf"|(?<![\w:]){_TIME}{_ZONE}",
        r"\d[-/:]\d\d|\d[ /-][a-z]{3}|datetime\.",
    ),
    (
        "hex",
        r"(?<![0-9a-z])0x[0-9a-f]++"
        r"|(?<![0-9a-z])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,}+(?![0-9a-z])"
        r"|(?<![0-9a-z])(?=[0-9]*+[a-f])[0-9a-f]{8,}+(?![0-9a-z])",
        r"[0-9a-f]{8}|0x|[0-9a-f]{2}[:-][0-9a-f]{2}[:-]",
    ),
    ("token", r"(?<![0-9a-z])(?=[a-z]*+[0-9])(?=[0-9]*+[a-z])[0-9a-z]{8,}+", r"[a-z][0-9]|[0-9][a-z]"),
    (
        "quoted",
        "|".join(rf"(?<![\w\\]){a}(?:[^\\{a}{z}]|\\.)*+{z}(?!\w)" for a, z in _QUOTES),
        "[" + "".join(a for a, _ in _QUOTES) + "]",
    ),
    (
        "path",
        r"(?<![\w./~-])(?:~|\.\.?)?/[^\s'\"<>`]++"
        r"|(?<!\w)[a-z]:\\[^\s'\"<>`]*+|\\\\[^\s'\"<>`]++"
        r"|(?<![\w./-])[\w.-]++(?:/[\w.-]++){2,}+",
        r"[/\\]",
    ),
    (
        "float",
        r"(?:(?<![\w>])[+-])?(?<!\d)(?:\d++\.\d*+|(?<![\w.])\.\d++)(?:e[+-]?\d++)?"
        r"|(?:(?<![\w>])[+-])?(?<!\d)\d++e[+-]?\d++",
        r"\d[.e]|\.\d",
    ),
    ("int", r"(?:(?<![\w>])[+-])?\d++(?:,\d{3}(?!\d))*+", r"\d"),
)

_PATTERNS: Final = tuple(
    (re.compile(hint, re.IGNORECASE).search, re.compile(pattern, re.IGNORECASE | re.DOTALL).sub, f"<{placeholder}>")
    for placeholder, pattern, hint in _VALUES
)
#: A quoted text whose end was cut off.
_UNENDED: Final = re.compile(rf"(?<![\w\\])[{''.join(a for a, _ in _QUOTES)}].*+$")

_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def parameterise(text: str) -> str:
    """
    The text with ``<placeholders>`` for its values, one blank between words, 200 characters at most.

    URLs, e-mail addresses, UUIDs, IP addresses, times, hexadecimal numbers of 8 digits or more, words of 8 characters
    or more that mix letters and digits, quoted texts, paths, floats and ints are values, in this order. A value that
    looks like a word is none. A second pass changes nothing.
    """
    is_cut, text = len(text) > _LOOKED_AT, _replaced(tidy(text, _LOOKED_AT))
    if is_cut:
        text = _UNENDED.sub("<quoted>", text)
    for _ in range(_PASSES):
        before, text = text, _replaced(text)[:LONGEST].strip()
        if text == before:
            break
    return text


def tidy(text: str, limit: int = LONGEST) -> str:
    """The text in one line, as every database and encoding can take it, cut to ``limit`` characters."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return _BLANKS.sub(" ", text[:limit]).strip()


def _replaced(text: str) -> str:
    for has_any, replace, placeholder in _PATTERNS:
        if has_any(text):
            text = replace(placeholder, text)
    return text
