"""What the ledger hears of a replay that goes on (pure)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fluxora_tasks.deadletter.envelope import Progress
from fluxora_tasks.worker.capture import Delivery


def progress(delivery: Delivery, now: datetime, due_at: datetime | None) -> Progress:
    """The note that a replay has neither succeeded nor failed, and comes again."""
    return Progress(delivery.dead_id, delivery.replay_no, delivery.run_id, now, due_at, delivery.worker)


def due_after(when: Any, now: datetime) -> datetime | None:
    """
    When the next attempt is due; ``None`` where that is not known.

    Args:
        when: As a ``Retry`` says it: seconds, or a time; one without a zone says nothing here.
    """
    if isinstance(when, datetime):
        return when if when.tzinfo is not None else None
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        return None
    try:
        return now + timedelta(seconds=when)
    except (OverflowError, ValueError):
        return None
