"""Which names of circuits a process has to note as in use (pure): each about once a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

#: Seconds for which a note is enough; as long may a server that forgot everything not know a name.
EVERY: Final = 60.0


class NotedNames:
    """
    Names that were noted lately. Safe for threads: two that report at once may both note a name.

    Args:
        monotonic: Time in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._noted: Mapping[str, float] = MappingProxyType({})

    def due(self, names: Iterable[str]) -> list[str]:
        """Those of them that were not noted in the last minute."""
        since = self._monotonic() - EVERY
        return [name for name in names if self._noted.get(name, since) <= since]

    def add(self, names: Iterable[str]) -> None:
        """They were noted now; what is older than a minute is forgotten."""
        now = self._monotonic()
        fresh = {name: at for name, at in self._noted.items() if at > now - EVERY}
        self._noted = {**fresh, **dict.fromkeys(names, now)}
