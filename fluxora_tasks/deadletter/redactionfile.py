"""Rules of redaction from a JSON or TOML file, beside the usual ones.

names = ["customer_number"]               # secret under any spelling
paths = ["kwargs.customer.name", "args.0", "headers.x-internal", "kwargs.*.note"]
allow = ["pin"]                           # names that are not secret here
emails = true
patterns = [{name = "staff number", regex = 'P-\\d{6}'}]
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fluxora_tasks.deadletter.redaction import USUAL, Redaction
from fluxora_tasks.deadletter.secretnames import SecretNames, words_of
from fluxora_tasks.deadletter.secretpatterns import EMAILS, Pattern
from fluxora_tasks.errors import ConfigurationError

_KEYS: Final = ("names", "paths", "patterns", "allow", "emails")
_ROOTS: Final = ("args", "kwargs", "headers")


def read_redaction(path: Path | None) -> Redaction:
    """
    What a file says, beside what is always redacted; ``None``: nothing.

    Raises:
        ConfigurationError: it cannot be read, or does not work.
    """
    if path is None:
        return USUAL
    try:
        return redaction_of(_parsed(path))
    except (OSError, ValueError, ConfigurationError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def redaction_of(document: Any) -> Redaction:
    """
    Rules as a file has them.

    Raises:
        ConfigurationError: one of them does not work.
    """
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"takes a table with {', '.join(_KEYS)}; got {type(document).__name__}")
    unknown = [str(key) for key in document if key not in _KEYS]
    if unknown:
        raise ConfigurationError(f"{unknown[0]!r} is no rule of redaction; take one of {', '.join(_KEYS)}")
    emails = document.get("emails", False)
    if not isinstance(emails, bool):
        raise ConfigurationError("emails takes true or false")
    patterns = [_pattern(item) for item in _list(document, "patterns")]
    return Redaction(
        SecretNames(_names(document, "names"), _names(document, "allow")),
        [_path(item) for item in _list(document, "paths")],
        [*patterns, *([EMAILS] if emails else [])],
    )


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise ConfigurationError(f"{key} takes a list; got {type(value).__name__}")
    return value


def _names(document: Mapping[str, Any], key: str) -> list[str]:
    names = _list(document, key)
    wrong = [name for name in names if not isinstance(name, str) or not words_of(name)]
    if wrong:
        raise ConfigurationError(f"{key} takes names with letters or digits; got {wrong[0]!r}")
    return names


def _path(value: Any) -> tuple[str, ...]:
    steps = tuple(value.casefold().split(".")) if isinstance(value, str) else ()
    if len(steps) < 2 or steps[0] not in _ROOTS or "" in steps:
        raise ConfigurationError(f"paths takes texts like 'kwargs.customer.name' or 'headers.x-id'; got {value!r}")
    return steps


def _pattern(item: Any) -> Pattern:
    name, regex = (item.get("name"), item.get("regex")) if isinstance(item, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(regex, str):
        raise ConfigurationError(f"patterns takes tables with a name and a regex; got {item!r}")
    try:
        compiled = re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"the regex of pattern {name!r} does not compile: {error}") from None
    if compiled.search("") is not None:
        raise ConfigurationError(f"the regex of pattern {name!r} matches an empty text; it would hide nothing or all")
    return Pattern(name, compiled)


def _parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
