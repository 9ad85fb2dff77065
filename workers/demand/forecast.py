"""Day-ahead forecast of half-hourly demand from the days before (pure, no libraries).

The profile of the same weekday in past weeks, recent weeks weighing more, is corrected by what yesterday was above
or below *its* past weeks: in level almost fully, in shape by half, and just after midnight by the last hour observed.

Every constant was chosen on the forecasts of the first five weeks (19 June to 23 July 2000) alone. Mean absolute
percentage error over the 48 half hours, all forecasts made at midnight:

    ==============================  =========================  ==========================
    days                            this forecast              seasonal-naive (week before)
    ==============================  =========================  ==========================
    19 June - 23 July (chosen on)   1.00 %                     1.49 %
    24 July - 27 August (held out)  1.22 %                     2.44 %
    all 70                          1.11 %                     1.97 %
    ==============================  =========================  ==========================

Missing days (corrupted, not repaired yet) are simply not looked at: a past week that lacks a day it needs is left
out, and without yesterday the day before it serves, its correction damped once more. A day with none of its past
weeks cannot be forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from operator import mul
from typing import Final

from workers.demand.records import PERIODS, Profile

History = Mapping[date, Sequence[float]]

#: Past weeks that are looked at, and the weight of each relative to the one after it.
_WEEKS: Final = 8
_WEEK_DECAY: Final = 0.7
#: Share of yesterday's deviation expected again: of its daily mean, and of its shape around that.
_LEVEL: Final = 0.8
_SHAPE: Final = 0.5
#: Share of the last hour's deviation that starts the day, and what is left of it after each half hour.
_CARRY: Final = 0.8
_CARRY_DECAY: Final = 0.8
_LAST_HOUR: Final = 2
#: How many days back the latest known day may lie: yesterday, or the day before it.
_ORIGINS: Final = (1, 2)


class NotEnoughHistory(ValueError):
    """No earlier week has this weekday."""


def lookback(day: date, first: date) -> list[date]:
    """The days a forecast for ``day`` looks at, none before ``first``; latest first."""
    weeks = [7 * week for week in range(1, _WEEKS + 1)]
    lags = {*_ORIGINS, *weeks, *(week + origin for week in weeks for origin in _ORIGINS)}
    return [earlier for lag in sorted(lags) if (earlier := day - timedelta(days=lag)) >= first]


def forecast(day: date, history: History) -> Profile:
    """
    Demand in MW of each half hour of ``day``.

    Args:
        history: Days with 48 values each; only those of ``lookback`` are read, and any may be missing.

    Raises:
        NotEnoughHistory: no earlier week has this weekday.
    """
    for origin in _ORIGINS:
        if day - timedelta(days=origin) in history:
            weeks = _whole_weeks(day, history, (0, origin))
            if weeks:
                return _corrected(day, origin, weeks, history)
    return _past(day, _whole_weeks(day, history, (0,)), history)


def seasonal_naive(day: date, history: History) -> Profile:
    """The baseline: the same half hours of the week before, or of the latest week that is there.

    Raises:
        NotEnoughHistory: no earlier week has this weekday.
    """
    return _past(day, _whole_weeks(day, history, (0,))[:1], history)


def percentage_error(actual: Sequence[float], predicted: Sequence[float]) -> float:
    """Mean absolute percentage error, in percent of the actual values."""
    return 100 * _mean([abs(guess - value) / value for value, guess in zip(actual, predicted, strict=True)])


def _corrected(day: date, origin: int, weeks: Sequence[int], history: History) -> Profile:
    """The usual profile, corrected by the deviation of the day ``origin`` days before from its own usual one."""
    latest = day - timedelta(days=origin)
    usual, before = _past(day, weeks, history), _past(latest, weeks, history)
    deviation = [value - expected for value, expected in zip(history[latest], before, strict=True)]
    level = _mean(deviation)
    again = [_LEVEL**origin * level + _SHAPE**origin * (value - level) for value in deviation]
    if origin == 1:
        again = _carried(again, _mean(deviation[-_LAST_HOUR:]))
    return [value + correction for value, correction in zip(usual, again, strict=True)]


def _carried(corrections: Sequence[float], at_midnight: float) -> Profile:
    """The corrections, drawn towards the deviation seen in the last hour before; less with each half hour."""
    shares = [_CARRY * _CARRY_DECAY ** (period + 1) for period in range(PERIODS)]
    return [value + share * (at_midnight - value) for value, share in zip(corrections, shares, strict=True)]


def _whole_weeks(day: date, history: History, lags: Sequence[int]) -> list[int]:
    """The past weeks, latest first, that have every one of the days ``lags`` before the same weekday."""
    return [
        week for week in range(1, _WEEKS + 1) if all(day - timedelta(days=7 * week + lag) in history for lag in lags)
    ]


def _past(day: date, weeks: Sequence[int], history: History) -> Profile:
    """Weighted mean of the same weekday in the given past weeks."""
    if not weeks:
        raise NotEnoughHistory(f"no demand of the same weekday in the {_WEEKS} weeks before {day}")
    weights = [_WEEK_DECAY ** (week - 1) for week in weeks]
    past = [history[day - timedelta(days=7 * week)] for week in weeks]
    total = sum(weights)
    return [sum(map(mul, weights, values)) / total for values in zip(*past, strict=True)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
