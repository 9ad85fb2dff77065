"""The pipeline's steps, called as functions: what they keep, wait for, and refuse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from fluxora_tasks import NonRetryableError, RetryableError
from tests.unit.workers.serving import serving
from workers.demand.client import CorruptedAnswer, NotThere
from workers.demand.faults import Fault, Schedule
from workers.demand.forecast import forecast, lookback, percentage_error
from workers.demand.records import FIRST_DAY, REGION, recorded_days
from workers.demand.service import DemandService
from workers.demand.store import DemandStore
from workers.demand.tasks import PATIENT, day_chain, forecast_demand, ingest_demand, publish_forecast

RECORD = recorded_days()
DAYS = list(RECORD)
BAD = DAYS[19]
DAY = DAYS[20]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemandStore:
    """The store the tasks use, empty."""
    monkeypatch.setenv("DEMAND_STORE", str(tmp_path / "demand.db"))
    return DemandStore(tmp_path / "demand.db")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemandService]:
    """The service the tasks ask, with one corrupted day."""
    with serving(Schedule(corrupted={BAD: Fault.TRUNCATED})) as service:
        monkeypatch.setenv("DEMAND_API", service.url)
        yield service


def fill(store: DemandStore, *, without: date | None = None) -> None:
    for day in DAYS[:21]:
        if day != without:
            store.add_day(REGION, day, RECORD[day])


def test_a_day_goes_through_all_three_steps(store: DemandStore, service: DemandService) -> None:
    """Fetched, forecast, published with the errors against what came."""
    fill(store, without=DAY)
    ingest_demand(str(DAY))
    forecast_demand(str(DAY))
    publish_forecast(str(DAY))
    (published,) = store.published()
    history = {day: RECORD[day] for day in lookback(DAY, FIRST_DAY)}
    week_before = DAY - timedelta(days=7)
    assert published.day == DAY
    assert published.error == pytest.approx(percentage_error(RECORD[DAY], forecast(DAY, history)))
    assert published.baseline_error == pytest.approx(percentage_error(RECORD[DAY], RECORD[week_before]))


def test_a_corrupted_day_is_marked_so_that_nobody_waits_for_it(store: DemandStore, service: DemandService) -> None:
    """The day after it is forecast without it; once repaired, the mark is gone."""
    fill(store, without=BAD)
    with pytest.raises(CorruptedAnswer):
        ingest_demand(str(BAD))
    assert store.bad_days(REGION, [BAD]) == {BAD}
    forecast_demand(str(DAY))
    service.repair()
    ingest_demand(str(BAD))
    assert store.bad_days(REGION, [BAD]) == set()
    assert store.days(REGION, [BAD]) == {BAD: RECORD[BAD]}


def test_a_forecast_waits_for_days_on_their_way(store: DemandStore) -> None:
    """Neither stored nor bad: try again later, and say for which day."""
    fill(store, without=BAD)
    with pytest.raises(RetryableError, match=str(BAD)):
        forecast_demand(str(DAY))


def test_an_unknown_region_marks_nothing(store: DemandStore, service: DemandService) -> None:
    """It is refused for good, and no day of another region is touched."""
    with pytest.raises(NotThere):
        ingest_demand(str(DAY), "atlantis")
    assert store.bad_days("atlantis", [DAY]) == store.bad_days(REGION, [DAY]) == set()


def test_nothing_is_published_out_of_order(store: DemandStore) -> None:
    """Without a forecast, or without the day, there is nothing to publish."""
    fill(store)
    with pytest.raises(NonRetryableError, match="no forecast"):
        publish_forecast(str(DAY))
    forecast_demand(str(DAYS[21]))
    with pytest.raises(NonRetryableError, match="no demand"):
        publish_forecast(str(DAYS[21]))


def test_a_chain_has_the_three_steps_and_hands_nothing_on() -> None:
    """Immutable signatures, in order, with the region for the first alone."""
    steps = day_chain(DAY, "somewhere").tasks
    assert [step.task.rpartition(".")[2] for step in steps] == ["ingest_demand", "forecast_demand", "publish_forecast"]
    assert [tuple(step.args) for step in steps] == [(str(DAY), "somewhere"), (str(DAY),), (str(DAY),)]
    assert all(step.immutable for step in steps)


def test_the_policy_outlasts_the_outage_whatever_the_dice_say() -> None:
    """The shortest possible schedule of waits is longer than 7 s."""
    ceilings = [min(PATIENT.max_delay, PATIENT.base_delay * PATIENT.backoff_factor**n) for n in range(11)]
    assert PATIENT.jitter == "equal"
    assert sum(ceilings) / 2 > 7
