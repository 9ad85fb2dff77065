"""What a day of demand is, and the real ones that come with the package (pure, but for reading one file).

Source: Taylor (2003), "Short-term electricity demand forecasting using double seasonal exponential smoothing",
Journal of the Operational Research Society 54: half-hourly demand in MW, 5 June to 27 August 2000.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Final

#: Half hours of a day.
PERIODS: Final = 48
#: The region the data are of.
REGION: Final = "england-wales"
#: First day with data; nothing earlier is waited for.
FIRST_DAY: Final = date(2000, 6, 5)

#: Half-hourly mean demand in MW, in the order of ``period_starts``.
Profile = list[float]


def period_starts(day: date) -> list[str]:
    """The 48 local times at which the half hours of a day begin: ``2000-06-05T00:00``, ``…T00:30``, …."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  local time, as the record has it
    return [f"{midnight + timedelta(minutes=30 * period):%Y-%m-%dT%H:%M}" for period in range(PERIODS)]


def recorded_days() -> Mapping[date, Profile]:
    """Every day of the record, in order; 84 days, twelve whole weeks from a Monday on."""
    days: dict[date, Profile] = {}
    with (files("workers") / "data" / "demand_england_wales_2000.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            days.setdefault(date.fromisoformat(row["period_start"][:10]), []).append(float(row["demand_mw"]))
    return days
