"""What looks like a secret in a text, whoever wrote it there (pure).

Every search is linear in the text: expressions begin with something rare and never go back over what they read. Most
texts hold none of the literals that a secret of a kind begins with, which costs a microsecond to find out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Final

#: What stands in the place of a secret.
MARK: Final = "[redacted]"

Replace = Callable[[re.Match[str]], str]


def _all(match: re.Match[str]) -> str:
    return MARK


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    One kind of secret.

    Attributes:
        name: For people.
        regex: What it looks like.
        literals: One of these is in every text that holds one; empty: unknown.
        replace: What a match becomes.
        sign: Found in every text that holds one, and quicker to look for.
    """

    name: str
    regex: re.Pattern[str]
    literals: tuple[str, ...] = ()
    replace: Replace = _all
    sign: re.Pattern[str] | None = None

    def hide(self, text: str) -> str:
        """The text without secrets of this kind."""
        if self.literals and not any(literal in text for literal in self.literals):
            return text
        if self.sign is not None and self.sign.search(text) is None:
            return text
        return self.regex.sub(self.replace, text)


#: Characters of a card's number in four groups.
_FOUR_GROUPS: Final = 19


def _card(match: re.Match[str]) -> str:
    """Groups of four may be followed by a date or a check value, which are none of it."""
    whole, first = match[0], match[0][:_FOUR_GROUPS]
    if passes_luhn(whole):
        return MARK
    return MARK + whole[_FOUR_GROUPS:] if match[1] and passes_luhn(first) else whole


def passes_luhn(text: str) -> bool:
    """Whether the digits of a text end with the check digit of a card's number."""
    digits = [int(character) for character in reversed(text) if character.isdecimal()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _bearer(match: re.Match[str]) -> str:
    """A scheme and what follows it; the next word of an ordinary sentence is no credential."""
    scheme, value = match[1], match[3]
    if scheme.lower() == "basic":
        is_one = _is_name_and_password(value)
    else:
        is_one = len(value) >= 20 or any(character.isdecimal() for character in value)
    return f"{scheme}{match[2]}{MARK}" if is_one else match[0]


def _is_name_and_password(value: str) -> bool:
    padded = value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4)
    try:
        return b":" in base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        return False


_TOKENS: Final = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{10,}+"  # Stripe
    r"|xox[abeoprs]-[\w-]{10,}+|xapp-[\w-]{10,}+"  # Slack
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}+"  # Google
    r"|sk-[\w-]{20,}+|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{16,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+"
)
_TOKEN_LITERALS: Final = (
    "AKIA", "ASIA", "ABIA", "ACCA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "_live_", "_test_",
    "whsec_", "xox", "xapp-", "AIza", "ya29.", "sk-", "npm_", "pypi-", "SG.",
)  # fmt: skip

#: The one kind that goes over several lines.
PRIVATE_KEY: Final = Pattern(
    "private key",
    re.compile(
        r"-----BEGIN[A-Z0-9 ]{1,40}PRIVATE KEY(?: BLOCK)?-----(?>.*?(?:-----END[A-Z0-9 ]{1,60}-----|\Z))", re.DOTALL
    ),
    ("PRIVATE KEY",),
)

#: Kinds of secret that are looked for line by line.
PATTERNS: Final = (
    PRIVATE_KEY,
    Pattern("json web token", re.compile(r"(?<![\w-])(?>[\w-]*?eyJ)[\w-]{5,}+(?:\.[\w-]*+){1,4}"), ("eyJ",)),
    Pattern("token", re.compile(rf"(?<![A-Za-z0-9])(?:{_TOKENS})"), _TOKEN_LITERALS),
    Pattern(
        "credentials in a url",
        re.compile(r"://([^\s/:@\"'<>]*+):[^\s/?#\"'<>]*@"),
        ("://",),
        lambda match: f"://{match[1]}:{MARK}@",
    ),
    Pattern(
        "authorization",
        re.compile(r"(?<![A-Za-z0-9])(bearer|basic)([ \t:]{1,4})([\w.~+/-]{6,}+=*+)", re.I),
        ("earer", "EARER", "asic", "ASIC"),
        _bearer,
    ),
    Pattern(
        "card number",
        re.compile(
            r"(?<![A-Za-z0-9.-])(?:(?:[3-6]\d|2[2-7])\d{11,17}"
            r"|(?:[3-6]\d|2[2-7])\d\d([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|3\d{3}([ -])\d{6}\2\d{5})(?![A-Za-z0-9])"
        ),
        replace=_card,
        sign=re.compile(r"[2-6]\d{3}[ -]?\d{2}"),
    ),
)  # fmt: skip

#: E-mail addresses, looked for where the rules say so.
EMAILS: Final = Pattern("e-mail", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]++(?:\.[\w-]++)++"), ("@",))

_SIGN: Final = re.compile("[:=]")
_WORD: Final = re.compile(r"[\w-]+")
_AFTER: Final = re.compile(r"[=>:]?[ \t]{0,8}")
_OPENING: Final = re.compile(r"[bBuUrRfF]?(\\{0,3}[\"'])")
_BRACKET: Final = re.compile(r"[\[\](){}]")
_PLAIN: Final = re.compile(r"(?:(?:bearer|basic|token|digest)[ \t]{1,8})?[^\s&]+", re.I)
_BLANKS_AND_QUOTES: Final = " \t\"'\\]"
_CLOSERS: Final = ",;.)]}\"'"
_WHOLE_LINE: Final = ("cookie", "authorization")
_NO_SECRETS: Final = frozenset({"", "none", "null", "true", "false", "{}", "[]", MARK})
_LONGEST_NAME: Final = 80


def hide_pairs(text: str, names: Container[str]) -> str:
    """The text without the values of pairs such as ``password=…``, ``"token": "…"`` and ``Cookie: …``."""
    kept, done = [], 0
    for sign in _SIGN.finditer(text):
        at = sign.start()
        if at < done:
            continue
        name = _name_before(text, at)
        if not name or name not in names:
            continue
        start, end = _value_after(text, at + 1, name)
        if text[start:end].strip(_CLOSERS).lower() not in _NO_SECRETS:
            kept += [text[done:start], MARK]
            done = end
    return "".join([*kept, text[done:]]) if kept else text


def _name_before(text: str, at: int) -> str:
    backwards = text[max(0, at - _LONGEST_NAME) : at].rstrip(_BLANKS_AND_QUOTES)[::-1]
    word = _WORD.match(backwards)
    return word[0][::-1] if word else ""


def _value_after(text: str, at: int, name: str) -> tuple[int, int]:
    """Where the value of a pair begins and ends; at the end of its line at the latest."""
    blank = _AFTER.match(text, at)
    start = blank.end() if blank else at
    line = min(found for found in (text.find("\n", start), text.find("\r", start), len(text)) if found >= 0)
    opening = _OPENING.match(text, start, line)
    if opening is not None:
        return opening.end(), _closing_quote(text, opening.end(), line, opening[1])
    if text[start : start + 1] in ("{", "[", "("):
        return start, _closing_bracket(text, start, line)
    if name.lower().endswith(_WHOLE_LINE):
        return start, line
    plain = _PLAIN.match(text, start, line)
    return start, plain.end() if plain else start


def _closing_quote(text: str, start: int, line: int, quote: str) -> int:
    at = text.find(quote, start, line)
    while at > start and len(quote) == 1 and text[at - 1] == "\\":
        at = text.find(quote, at + 1, line)
    return at if at >= 0 else line


def _closing_bracket(text: str, start: int, line: int) -> int:
    depth = 0
    for bracket in _BRACKET.finditer(text, start, line):
        depth += 1 if bracket[0] in "[({" else -1
        if depth == 0:
            return bracket.end()
    return line
