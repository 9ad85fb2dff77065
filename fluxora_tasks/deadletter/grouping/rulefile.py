"""The file of an application's rules of grouping, read once."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from fluxora_tasks.deadletter.grouping.rules import Grouping, grouping_of
from fluxora_tasks.errors import ConfigurationError


def read_grouping(path: Path) -> Grouping:
    """
    What a file says: ``*.toml`` is read as TOML, everything else as JSON.

    Raises:
        ConfigurationError: it cannot be read, or does not work; one line with the path and the rule.
    """
    try:
        return grouping_of(_parsed(path))
    except (OSError, ValueError, RecursionError, ConfigurationError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
