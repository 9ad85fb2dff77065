"""The pipeline: one day is fetched, the day is forecast from the days before, the forecast is published with its error.

Whoever asks the service goes through one circuit: while it is open, fetches wait without using an attempt, and an
outlook is made from the last good answer, and says so. The tasks hand nothing to each other but the day: each finds
what it needs in the store, so each may run again.
Environment: ``DEMAND_API``, URL of the demand service (default http://127.0.0.1:8000); ``DEMAND_STORE``, see ``store``.
"""

from __future__ import annotations

import os
from datetime import date, timedelta
from typing import Any, Final

from celery import chain

from fluxora_tasks import (
    BreakerPolicy,
    CircuitBreaker,
    LastGoodFallback,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    with_fallback,
)
from fluxora_tasks.fallback import last_outcome
from workers.app import app
from workers.demand.client import CorruptedAnswer, fetch_day, fetch_recent
from workers.demand.forecast import forecast, lookback, percentage_error, seasonal_naive
from workers.demand.records import FIRST_DAY, REGION, Profile
from workers.demand.store import DemandStore, Published, open_store

#: Waits 13 s in all at least, whatever the dice say: longer than an outage of the demo's service keeps a day back.
PATIENT: Final = RetryPolicy(max_attempts=20, base_delay=0.4, max_delay=1.5, backoff_factor=2.0, jitter="equal")
#: The service as all workers see it. It comes back within seconds, so a short look back and short waits do.
DEMAND_API: Final = CircuitBreaker(
    name="demand-api",
    policy=BreakerPolicy(
        window=3.0, buckets=6, min_calls=8, failure_rate=0.6, cooldown=0.6, multiplier=1.5, cooldown_max=2.0,
        probes=2, probes_required=2,
    ),
)  # fmt: skip
#: Seconds after which it is worth looking again for days that are on their way.
_LATER: Final = 0.8


@app.task(retry_policy=PATIENT, breaker=DEMAND_API.name, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery is untyped
def ingest_demand(day: str, region: str = REGION) -> None:
    """Fetch a day of demand, check it, keep it."""
    when, store = date.fromisoformat(day), open_store()
    try:
        demand = fetch_day(_service(), region, when)
    except CorruptedAnswer as error:
        store.mark_bad(region, when, str(error))
        raise
    store.add_day(region, when, demand)


@app.task(retry_policy=PATIENT, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery is untyped
def forecast_demand(day: str) -> None:
    """Forecast a day from the days before it; a day that is neither there nor known to be bad is waited for."""
    when, store = date.fromisoformat(day), open_store()
    store.add_forecast(when, forecast(when, _history(store, when)))


@app.task(retry_policy=PATIENT, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery is untyped
def publish_forecast(day: str) -> None:
    """Set a forecast against the day that came, and against the seasonal-naive forecast of it."""
    when, store = date.fromisoformat(day), open_store()
    predicted, actual = store.forecast(when), store.days(REGION, [when]).get(when)
    if predicted is None or actual is None:
        raise NonRetryableError(f"{day} has no {'forecast' if predicted is None else 'demand'} to publish")
    baseline = seasonal_naive(when, _history(store, when))
    store.publish(Published(when, percentage_error(actual, predicted), percentage_error(actual, baseline)))


@app.task(retry_policy=PATIENT)  # type: ignore[untyped-decorator]  # Celery is untyped
def outlook(region: str = REGION) -> dict[str, Any]:
    """
    Forecast the day after the latest one, from whatever the service said last.

    Returns:
        ``day``, ``peak`` in MW, ``degraded``, and ``age``: seconds since the service gave what this was made from.
    """
    days = _recent_demand(region)
    source = last_outcome()
    assert source is not None, "the call above had one"
    tomorrow = max(days) + timedelta(days=1)
    peak = max(forecast(tomorrow, days))
    return {"day": str(tomorrow), "peak": round(peak), "degraded": source.degraded, "age": source.age}


@with_fallback(LastGoodFallback(max_age=3600))
@DEMAND_API
def _recent(region: str) -> dict[str, Profile]:
    return {str(day): demand for day, demand in fetch_recent(_service(), region).items()}


def _recent_demand(region: str) -> dict[date, Profile]:
    return {date.fromisoformat(day): demand for day, demand in _recent(region).items()}


def _service() -> str:
    return os.environ.get("DEMAND_API", "http://127.0.0.1:8000")


def day_chain(day: date, region: str = REGION) -> Any:
    """All three tasks for one day; the next one is sent when the one before has succeeded."""
    text = str(day)
    return chain(ingest_demand.si(text, region), forecast_demand.si(text), publish_forecast.si(text))


def _history(store: DemandStore, day: date) -> dict[date, Profile]:
    """The days a forecast looks at.

    Raises:
        RetryableError: one of them is still on its way.
    """
    wanted = lookback(day, FIRST_DAY)
    bad = store.bad_days(REGION, wanted)
    known = store.days(REGION, wanted)
    missing = [earlier for earlier in wanted if earlier not in known and earlier not in bad]
    if missing:
        raise RetryableError(f"waiting for {len(missing)} earlier days, {missing[0]} first", _LATER)
    return known
