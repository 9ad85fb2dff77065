"""What an operator asks of the audit: pages, and all of it for another system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.auditing import TrailQuery
from fluxora_tasks.ledger.records import TrailEntry
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.acting import check_limit


@dataclass(frozen=True, slots=True)
class TrailPage:
    """One page of the audit.

    Attributes:
        items: Entries, newest first.
        next: Cursor of the next page, ``None`` on the last.
    """

    items: Sequence[TrailEntry]
    next: str | None


class Trail:
    """The audit of a ledger. Safe for threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def list(self, query: TrailQuery, *, limit: int = 50, cursor: str | None = None) -> TrailPage:
        """One page, newest first.

        Raises:
            ConfigurationError: the limit or the cursor cannot be understood.
        """
        check_limit(limit)
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise ConfigurationError(f"not a cursor of this list: {cursor[:80]!r}; start without one")
        before = None if cursor is None else int(cursor)
        found = self._ledger.trail(query, before=before, limit=limit + 1)
        following = str(found[limit - 1].seq) if len(found) > limit else None
        return TrailPage(found[:limit], following)

    def export(self, query: TrailQuery) -> Iterator[TrailEntry]:
        """Every entry, oldest first; what is written meanwhile comes too."""
        after = 0
        while found := self._ledger.trail_onwards(query, after=after):
            yield from found
            after = found[-1].seq
