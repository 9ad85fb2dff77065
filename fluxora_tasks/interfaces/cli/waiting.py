"""Waiting for what became of replays [rich for the live line].

A record that is no longer ``RETRYING`` has its outcome: ``RESOLVED``, or back to ``PENDING`` or ``FAILED``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fluxora_tasks.clock import Clock
from fluxora_tasks.operations.records import DeadLetterDetail, DeadLetterSummary

#: Seconds between two looks at the ledger.
_PAUSE = 0.2


class Reader(Protocol):
    """The part of the operations that waiting needs."""

    def get(self, id: str) -> DeadLetterDetail:
        """One record."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to wait.

    Attributes:
        seconds: Longest wait.
        clock: Where the time is read.
        pause: Called with seconds between two looks.
    """

    seconds: float
    clock: Clock
    pause: Callable[[float], None]


def outcomes(reader: Reader, ids: Sequence[str], waiting: Waiting) -> Iterator[DeadLetterSummary | None]:
    """Each record as its outcome is known, ``None`` after every look; ends when all are, or time is up."""
    pending = list(ids)
    deadline = waiting.clock.monotonic() + waiting.seconds
    while pending:
        for summary in _settled(reader, pending):
            pending.remove(summary.id)
            yield summary
        yield None
        left = deadline - waiting.clock.monotonic()
        if not pending or left <= 0:
            return
        waiting.pause(min(_PAUSE, left))


def _settled(reader: Reader, ids: Sequence[str]) -> Iterator[DeadLetterSummary]:
    for dead_id in list(ids):
        summary = reader.get(dead_id).summary
        if summary.status != "RETRYING":
            yield summary
