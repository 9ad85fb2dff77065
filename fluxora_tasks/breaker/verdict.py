"""What one ended call says about the dependency (pure)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fluxora_tasks.breaker.policy import Trip
from fluxora_tasks.breaker.record import Result
from fluxora_tasks.classification import Classifier, Outcome
from fluxora_tasks.errors import RefusedError

logger = logging.getLogger(__name__)

#: A bad request was answered, so the other side is well.
_RESULTS: Final = {
    Outcome.SUCCESS: Result.SUCCESS,
    Outcome.BAD_REQUEST: Result.SUCCESS,
    Outcome.IGNORED: Result.EXCLUDED,
}


def judged(error: BaseException | None, classifier: Classifier) -> Result:
    """How a call ended for the circuit; what was refused on our side of it says nothing about the other."""
    if error is None:
        return Result.SUCCESS
    if isinstance(error, RefusedError):
        return Result.EXCLUDED
    return _RESULTS.get(classifier(error), Result.FAILURE)


def trip_ms(trip_on: Callable[[Any], Trip] | None, seen: Any) -> int | None:
    """
    For how long what was seen (an exception or a value) opens the circuit at once.

    In ms, 0 for a cooldown; ``None``: it does not. A predicate that raises has no opinion.
    """
    if trip_on is None:
        return None
    try:
        return _milliseconds(trip_on(seen))
    except Exception as failure:  # noqa: BLE001 - somebody else's code
        logger.warning("trip_on raised %s, it has no opinion: %r", type(failure).__name__, trip_on)
        return None


def _milliseconds(trip: Trip) -> int | None:
    if trip is None or trip is False:
        return None
    if trip is True:
        return 0
    if isinstance(trip, datetime):  # the one absolute time there is: the other side's, read on our clock
        trip = (trip if trip.tzinfo else trip.replace(tzinfo=UTC)) - datetime.now(UTC)
    seconds = trip.total_seconds() if isinstance(trip, timedelta) else float(trip)
    return max(1, round(seconds * 1000)) if seconds > 0 else None
