"""Which names are those of secrets: compared word by word (pure).

``apiKey``, ``API_KEY``, ``x-api-key`` and ``apikey`` are one name; ``author`` is not ``auth``, ``token_count`` is not a
token, and ``tokens`` are more often counted or read than kept secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final

#: Names that are secret wherever they stand among the words of a name.
SECRET_NAMES: Final = (
    "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "token", "jwt",
    "api tokens", "access tokens", "refresh tokens", "auth tokens", "api key", "apikey", "auth", "authorization",
    "bearer", "cookie", "cookies", "session", "sessionid", "credential", "credentials", "creds", "private key",
    "access key", "secret key", "signing key", "encryption key", "otp", "totp", "connection string", "card",
    "card number", "cvv", "cvc", "iban", "ssn", "social security", "pin",
)  # fmt: skip

#: Stems that no other word has inside itself, and those that no other word ends with.
_INSIDE: Final = (
    "password", "passwd", "passphrase", "apikey", "privatekey", "accesskey", "secretkey", "credential", "authorization",
)  # fmt: skip
_AT_THE_END: Final = ("token", "secret", "cookie", "pwd", "sessionid")

#: A name that ends so tells something about a secret, not the secret.
_ABOUT: Final = frozenset(
    {
        "age", "at", "attempts", "backend", "brand", "class", "count", "country", "date", "denied", "domain",
        "duration", "enabled", "error", "exception", "exists", "expired", "expires", "expiry", "failed", "field",
        "format", "invalid", "kind", "last", "length", "level", "limit", "max", "method", "min", "missing", "mode",
        "name", "policy", "provider", "realm", "required", "scheme", "size", "state", "status", "strength", "timeout",
        "title", "total", "ttl", "type", "user", "version", "warning",
    }
)  # fmt: skip

#: Characters of a name that are looked at.
_LONGEST: Final = 100

_BOUNDARY: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[^\W_]+")

Words = tuple[str, ...]


def words_of(name: str) -> Words:
    """The words of a name in lower case, without the numbers at their ends."""
    parts = _WORD.findall(_BOUNDARY.sub("_", name))
    return tuple(part.casefold().rstrip("0123456789") or part for part in parts)


class SecretNames:
    """
    The names that are secret; asking twice is cheap.

    Args:
        more: Names beside the usual ones; every spelling of their words counts.
        allowed: Names that are not secret, as a whole; they win.
    """

    def __init__(self, more: Iterable[str] = (), allowed: Iterable[str] = ()) -> None:
        own = [words_of(name) for name in more]
        self._sequences = {words_of(name) for name in SECRET_NAMES} | {words for words in own if words}
        self._runs = {len(words) for words in self._sequences}
        self._own = {"".join(words) for words in own} - {""}
        self._allowed = {"".join(words_of(name)) for name in allowed}
        self._remembered = lru_cache(maxsize=4096)(self._decide)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._remembered(name[:_LONGEST])

    def _decide(self, name: str) -> bool:
        words = words_of(name)
        joined = "".join(words)
        if joined in self._allowed:
            return False
        return joined in self._own or (_has_secret(words, self._sequences, self._runs) and not _is_about(words))


def _has_secret(words: Words, sequences: Collection[Words], runs: Collection[int]) -> bool:
    for length in runs:
        if any(words[start : start + length] in sequences for start in range(len(words) - length + 1)):
            return True
    return any(word.endswith(_AT_THE_END) or any(stem in word for stem in _INSIDE) for word in words)


def _is_about(words: Words) -> bool:
    return len(words) > 1 and words[-1] in _ABOUT
