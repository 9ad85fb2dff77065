"""What is wrong with a filter, and where (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from fluxora_tasks.errors import ConfigurationError


class FilterError(ConfigurationError):
    """A filter that cannot be understood.

    Args:
        message: What is wrong.
        position: Character of the filter it starts at, from 1.
    """

    code = "filter"

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)
        self.position = position

    def __str__(self) -> str:
        return f"filter, character {self.position}: {self.args[0]}"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A message that names the nearest known one, or all of them."""
    lowered = {choice.lower(): choice for choice in known}
    near = get_close_matches(name[:80].lower(), lowered, n=1, cutoff=0.5)
    hint = f"did you mean {lowered[near[0]]}?" if near else f"known: {', '.join(lowered.values())}"
    return f"unknown {what} {name[:80]!r}; {hint}"
