"""The forecast is better than the week before, looks at nothing later, and gets by with days missing."""

from __future__ import annotations

import random
import time
from datetime import date, timedelta

import pytest

from workers.demand.forecast import NotEnoughHistory, forecast, lookback, percentage_error, seasonal_naive
from workers.demand.records import FIRST_DAY, PERIODS, Profile, period_starts, recorded_days

DAYS = recorded_days()
ORDER = list(DAYS)
FORECASTABLE = ORDER[14:]
HELD_OUT = ORDER[49:]


def seen_on(day: date, *, without: frozenset[date] = frozenset()) -> dict[date, Profile]:
    """What a forecast for the day may look at."""
    return {earlier: DAYS[earlier] for earlier in lookback(day, FIRST_DAY) if earlier not in without}


def error_over(days: list[date], *, lacking: int | None = None) -> float:
    """Mean error over days, each forecast without the day ``lacking`` days before it."""
    total = 0.0
    for day in days:
        without = frozenset({day - timedelta(days=lacking)} if lacking else ())
        total += percentage_error(DAYS[day], forecast(day, seen_on(day, without=without)))
    return total / len(days)


def naive_error_over(days: list[date]) -> float:
    return sum(percentage_error(DAYS[day], seasonal_naive(day, seen_on(day))) for day in days) / len(days)


def test_the_record_is_whole() -> None:
    """84 consecutive days of 48 half hours from the first day on."""
    assert [FIRST_DAY + timedelta(days=n) for n in range(84)] == ORDER
    assert {len(values) for values in DAYS.values()} == {PERIODS}
    assert period_starts(FIRST_DAY)[:2] == ["2000-06-05T00:00", "2000-06-05T00:30"]
    assert period_starts(FIRST_DAY)[-1] == "2000-06-05T23:30"


@pytest.mark.parametrize(
    ("days", "error", "baseline"),
    [
        (ORDER[14:49], 1.00, 1.49),  # the constants were chosen on these
        (HELD_OUT, 1.22, 2.44),
        (FORECASTABLE, 1.11, 1.97),
    ],
)
def test_the_documented_figures_are_right(days: list[date], error: float, baseline: float) -> None:
    """The docstring's table is what the code does."""
    assert (round(error_over(days), 2), round(naive_error_over(days), 2)) == (error, baseline)


def test_days_it_never_saw_are_forecast_twice_as_well_as_by_the_week_before() -> None:
    """Out of sample the error is about half the baseline's."""
    assert error_over(HELD_OUT) < 0.55 * naive_error_over(HELD_OUT)


@pytest.mark.parametrize("lacking", [1, 2, 7, 8, 14])
def test_a_missing_day_costs_little(lacking: int) -> None:
    """Without any one of the days it looks at, it still beats the week before."""
    assert error_over(FORECASTABLE, lacking=lacking) < 0.85 * naive_error_over(FORECASTABLE)


def test_only_earlier_days_count() -> None:
    """What comes later, or is not in the lookback, changes nothing."""
    day = FORECASTABLE[20]
    noise = random.Random(1)
    other = {d: [noise.uniform(20_000, 50_000)] * PERIODS for d in ORDER if d not in lookback(day, FIRST_DAY)}
    assert forecast(day, {**DAYS, **other}) == forecast(day, seen_on(day))


def test_the_lookback_ends_at_the_first_day() -> None:
    """Nothing before the record is asked for, and nothing from the day on."""
    for day in ORDER:
        assert all(FIRST_DAY <= earlier < day for earlier in lookback(day, FIRST_DAY))


def test_without_yesterday_and_the_day_before_the_usual_profile_is_the_forecast() -> None:
    """Two missing days leave the weighted mean of the past weeks."""
    day = FORECASTABLE[0]
    history = {day - timedelta(days=7): [30_000.0] * PERIODS, day - timedelta(days=14): [20_000.0] * PERIODS}
    assert forecast(day, history) == pytest.approx([(30_000 + 0.7 * 20_000) / 1.7] * PERIODS)
    assert seasonal_naive(day, history) == [30_000.0] * PERIODS


def test_the_baseline_takes_the_week_before_that_if_it_must() -> None:
    """A missing week is skipped."""
    day = FORECASTABLE[0]
    assert seasonal_naive(day, {day - timedelta(days=14): [1.0] * PERIODS}) == [1.0] * PERIODS


def test_a_weekday_never_seen_is_refused() -> None:
    """There is no forecast out of nothing."""
    with pytest.raises(NotEnoughHistory):
        forecast(FIRST_DAY, {})


def test_constant_demand_is_forecast_exactly() -> None:
    """If every week is the same, so is the next."""
    history = {day: [25_000.0 + i for i in range(PERIODS)] for day in ORDER}
    assert forecast(ORDER[60], history) == pytest.approx(history[ORDER[60]])


def test_a_forecast_takes_no_time() -> None:
    """Well under five milliseconds of processor time each."""
    begin = time.process_time()
    for day in FORECASTABLE:
        forecast(day, DAYS)
    assert (time.process_time() - begin) / len(FORECASTABLE) < 0.005
