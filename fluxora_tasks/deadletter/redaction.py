"""Rules of redaction, and what they leave of a value and of a text (pure).

What stands under a secret name or path is replaced where it stands, and wherever else the same value occurs: in the
text of an exception, a traceback, a header. Other texts are searched for what looks like a secret.
Nothing here raises: where redaction fails, the whole text is replaced.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from fluxora_tasks.deadletter.secretnames import SecretNames
from fluxora_tasks.deadletter.secretpatterns import MARK, PATTERNS, PRIVATE_KEY, Pattern, hide_pairs

NOT_SHOWN: Final = "[not shown: redaction failed]"
WITHHELD: Final = "[not shown: the arguments could not be searched for secrets]"

#: Levels of a value that are shown, and characters of one text in it.
DEEPEST: Final = 20
LONGEST_TEXT: Final = 2048

#: Secret values that are looked for in texts.
_MOST_VALUES: Final = 500

#: Characters on both sides of a cut that are left out, as they may be half of a secret.
_SEAM: Final = 4096

#: Shorter ones, and these, are in every text; so are numbers of few digits.
_SHORTEST: Final = 4
_SHORTEST_NUMBER: Final = 6
_TRIVIAL: Final = frozenset(
    {
        "admin", "anonymous", "basic", "bearer", "celery", "default", "enabled", "error", "false", "guest",
        "localhost", "none", "null", "password", "postgres", "public", "redacted", "root", "secret", "string", "test",
        "token", "traceback", "true", "user", "username", "value",
    }
)  # fmt: skip

#: The shortest thing that a pattern finds, and the longest line and name that are remembered.
_SHORTEST_FOUND: Final = 13
_LONGEST_LINE: Final = 300
_LONGEST_NAME: Final = 100

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME: Final = re.compile(r"[a-z._@]{1,64}")
_NO_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Secrets:
    """
    The values that rules found secret, in every spelling a text may have them in, longest first.

    Attributes:
        values: Texts to replace.
        complete: Whether these are all.
    """

    values: tuple[str, ...] = ()
    complete: bool = True

    def hide(self, text: str) -> str:
        """The text without them."""
        if not self.complete:
            return WITHHELD
        for value in self.values:
            if value in text:
                text = text.replace(value, MARK)
        return text

    def with_those_of(self, other: Secrets) -> Secrets:
        """Both."""
        if not other.values and other.complete:
            return self
        values = {*self.values, *other.values}
        return Secrets(_longest_first(values), self.complete and other.complete)


NO_SECRETS: Final = Secrets()
#: Of arguments that nobody looked through.
UNKNOWN_SECRETS: Final = Secrets(complete=False)


class Redaction:
    """
    What is secret.

    Names of keys, and lines of a traceback, come again with each failure of a kind; what is left of them is remembered.

    Args:
        names: Of keys, headers and parameters.
        paths: From ``args``, ``kwargs`` or ``headers`` downwards, in lower case; ``*`` is any name of one level.
        patterns: What a secret looks like, beside the usual kinds.
    """

    def __init__(
        self, names: SecretNames | None = None, paths: Sequence[Path] = (), patterns: Sequence[Pattern] = ()
    ) -> None:
        self.names = names or SecretNames()
        self.paths = tuple(paths)
        self._patterns = tuple(patterns)
        self._remembered_line = functools.lru_cache(maxsize=2048)(self._line)
        self._remembered_key = functools.lru_cache(maxsize=2048)(self._key)

    def text(self, text: str, secrets: Secrets = NO_SECRETS) -> str:
        """The text without secrets: these values, and what looks like one."""
        try:
            text = secrets.hide(text)
            for pattern in self._patterns:
                text = pattern.hide(text)
            if "\n" not in text:
                return text if _is_plain(text) else self._any_line(text)
            return "\n".join(map(self._any_line, PRIVATE_KEY.hide(text).split("\n")))
        except Exception:  # noqa: BLE001 - rules of an application; the raw text must not get through
            return NOT_SHOWN

    def key(self, name: str) -> tuple[str, bool]:
        """A key as it may be shown, and whether what stands under it is secret."""
        return self._remembered_key(name) if len(name) <= _LONGEST_NAME else self._key(name)

    def _key(self, name: str) -> tuple[str, bool]:
        return storable(self.text(name[:LONGEST_TEXT])), name in self.names

    def _any_line(self, line: str) -> str:
        return self._remembered_line(line) if _comes_again(line) else self._line(line)

    def _line(self, line: str) -> str:
        for pattern in PATTERNS:
            line = pattern.hide(line)
        return hide_pairs(line, self.names)

    def long_text(self, text: str, secrets: Secrets, limit: int) -> str:
        """
        Likewise, of a text that is cut to ``limit`` characters later.

        Of a much longer one only both ends are read, and what stands at the cut is left out.
        """
        most = 2 * max(limit, _SEAM)
        if len(text) <= 2 * most:
            return self.text(text, secrets)
        head, tail = self.text(text[:most], secrets), self.text(text[-most:], secrets)
        left_out = len(text) - len(head) - len(tail) + 2 * _SEAM
        return f"{head[:-_SEAM]}\n… [{max(left_out, 0)} characters cut] …\n{tail[_SEAM:]}"

    def names_a_secret(self, name: str, paths: Iterable[Path] = ()) -> bool:
        """Whether what stands under this name is secret, at places that these paths lead to."""
        return self.key(name)[1] or () in paths

    def value(self, value: Any, secrets: Secrets = NO_SECRETS, paths: Sequence[Path] = (), budget: int = 16_000) -> Any:
        """
        A value of JSON without secrets, as any store, terminal or page can take it.

        Args:
            paths: Those that go on from here, from :func:`below`.
            budget: Characters it may have, about.
        """
        try:
            return _Shown(self, secrets, budget).value(value, paths, DEEPEST)
        except Exception:  # noqa: BLE001 - values of anybody; the raw one must not get through
            return NOT_SHOWN

    def secrets_in(self, named: Iterable[tuple[str, Any, Sequence[Path]]]) -> Secrets:
        """The secrets among values with a name and paths that go on from them, however deep."""
        try:
            return _secrets(_Found(self, named).values)
        except Exception:  # noqa: BLE001 - values of anybody
            return UNKNOWN_SECRETS

    def paths_from(self, root: str) -> tuple[Path, ...]:
        """The paths below ``args``, ``kwargs`` or ``headers``."""
        return below(self.paths, root)


def _is_plain(text: str) -> bool:
    """Whether nothing could be hidden in so short a text, or in an id; most texts of a message are such."""
    return (len(text) < _SHORTEST_FOUND and ":" not in text and "=" not in text) or _ID.fullmatch(text) is not None


def _comes_again(line: str) -> bool:
    """Whether it is one of those that a traceback is made of, but for its last, or the name of a task or a host."""
    return len(line) <= _LONGEST_LINE and (line.startswith("  ") or _NAME.fullmatch(line) is not None)


def below(paths: Sequence[Path], name: str) -> tuple[Path, ...]:
    """The paths that go on from here under a name; an empty one ends there."""
    if not paths:
        return ()
    name = name.casefold()
    return tuple(path[1:] for path in paths if path and path[0] in (name, "*"))


class _Shown:
    """One value on its way to be shown, within what may be shown in all."""

    def __init__(self, rules: Redaction, secrets: Secrets, budget: int) -> None:
        self._rules, self._secrets, self._left = rules, secrets, budget

    def value(self, value: Any, paths: Sequence[Path], levels: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self._number(value)
        if levels == 0:
            return "[nested too deeply]"
        if isinstance(value, Mapping):
            return self._mapping(value, paths, levels)
        if isinstance(value, (list, tuple)):
            return self._list(value, paths, levels)
        return self.text(str(value))

    def text(self, text: str) -> str:
        if len(text) > 2 * (LONGEST_TEXT + _SEAM):
            text = f"{self._redacted(text[: LONGEST_TEXT + _SEAM])[:-_SEAM]}… [{len(text)} characters]"
        else:
            text = self._redacted(text)
        most = max(0, min(LONGEST_TEXT, self._left))
        if len(text) > most + 40:
            text = f"{text[:most]}… [{len(text)} characters]"
        self._left -= len(text) + 4
        return text

    def _redacted(self, text: str) -> str:
        return storable(self._rules.text(text, self._secrets))

    def _number(self, value: int | float) -> Any:
        self._left -= 8
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if -(10**9) < value < 10**9:
            return value
        if abs(value) >= 10**300:
            return "[a number of more than 300 digits]"
        text = self._rules.text(str(value), self._secrets)
        return value if text == str(value) else text

    def _mapping(self, value: Mapping[Any, Any], paths: Sequence[Path], levels: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for number, (key, item) in enumerate(value.items()):
            if self._left <= 0:
                shown["…"] = f"[{len(value) - number} more]"
                break
            name = str(key)
            named, secret = self._rules.key(name)
            if self._secrets.values:
                named = self._secrets.hide(named)
            onward = below(paths, name) if paths else ()
            self._left -= 4 + len(named)
            hidden = (secret or () in onward) and not says_nothing(item)
            shown[named] = MARK if hidden else self.value(item, onward, levels - 1)
        return shown

    def _list(self, value: Sequence[Any], paths: Sequence[Path], levels: int) -> list[Any]:
        shown: list[Any] = []
        for number, item in enumerate(value):
            if self._left <= 0:
                shown.append(f"… [{len(value) - number} more]")
                break
            onward = below(paths, str(number)) if paths else ()
            self._left -= 2
            hidden = () in onward and not says_nothing(item)
            shown.append(MARK if hidden else self.value(item, onward, levels - 1))
        return shown


def says_nothing(value: Any) -> bool:
    """Whether a value is no secret whatever its name is."""
    return value is None or isinstance(value, bool) or value == ""


def storable(text: str) -> str:
    """A text that every store takes: no NUL, no half of a surrogate pair."""
    if text.isascii() and "\x00" not in text:
        return text
    return _NO_TEXT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class _Found:
    """Every value under a secret name or path; walks without recursion."""

    def __init__(self, rules: Redaction, named: Iterable[tuple[str, Any, Sequence[Path]]]) -> None:
        self.values: set[str] = set()
        self._rules = rules
        self._open: list[tuple[Any, Sequence[Path], bool]] = []
        for name, value, paths in named:
            hidden = rules.key(name)[1] or () in paths
            if hidden or not isinstance(value, _SCALARS):
                self._meet(value, paths, hidden)
        while self._open and len(self.values) <= _MOST_VALUES:
            self._enter(*self._open.pop())

    def _meet(self, value: Any, paths: Sequence[Path], secret: bool) -> None:
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            self._open.append((value, paths, secret))
        elif secret and value is not None and not isinstance(value, bool):
            text = value if isinstance(value, str) else _spelled(value)
            if _is_telling(text):
                self.values.add(text)

    def _enter(self, value: Any, paths: Sequence[Path], secret: bool) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "__type__":
                    continue  # how kombu writes a type into JSON
                name = str(key)
                onward = below(paths, name) if paths else ()
                hidden = secret or self._rules.key(name)[1] or () in onward
                if hidden or not isinstance(item, _SCALARS):
                    self._meet(item, onward, hidden)
            return
        for number, item in enumerate(value):
            onward = below(paths, str(number)) if paths else ()
            self._meet(item, onward, secret or () in onward)


def _spelled(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _secrets(values: set[str]) -> Secrets:
    if not values:
        return NO_SECRETS
    if len(values) > _MOST_VALUES:
        return UNKNOWN_SECRETS
    spellings = {spelling for value in values for spelling in _spellings(value)}
    return Secrets(_longest_first(spellings))


def _longest_first(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(values, key=lambda text: (-len(text), text)))


def _is_telling(value: str) -> bool:
    """Whether a value can be told from what else stands in a text."""
    shortest = _SHORTEST_NUMBER if value.isdecimal() else _SHORTEST
    return len(value.strip()) >= shortest and value.casefold() not in _TRIVIAL and value not in MARK


def _spellings(value: str) -> set[str]:
    """A value as a text may have it: as it is, escaped by ``repr``, JSON or a URL, and line by line."""
    if value.isascii() and value.isalnum():
        return {value}
    escaped = {
        repr(value)[1:-1],
        ascii(value)[1:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    }
    lines = {line.strip() for line in value.splitlines() if len(line.strip()) >= 2 * _SHORTEST}
    quoted = {quote(value, safe="", errors="replace"), storable(value)}
    return {spelling for spelling in {value} | escaped | lines | quoted if spelling}


_SCALARS: Final = (str, int, float, type(None))

#: The rules of a process that was given no others.
USUAL: Final = Redaction()
