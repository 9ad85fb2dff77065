"""Where the pipeline keeps its days and forecasts: one SQLite file that every worker process shares [sqlite3].

Every write replaces what was there under the same key, so a task that runs twice leaves what one run leaves.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fluxora_tasks.settings import load_settings
from workers.demand.records import Profile

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS days (region TEXT, day TEXT, demand TEXT NOT NULL, PRIMARY KEY (region, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bad_days (region TEXT, day TEXT, why TEXT NOT NULL, PRIMARY KEY (region, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forecasts (
    day TEXT PRIMARY KEY,
    demand TEXT NOT NULL,
    error REAL,
    baseline_error REAL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Published:
    """A forecast set against what came, errors in percent.

    Attributes:
        day: The day forecast.
        error: Mean absolute percentage error of the forecast.
        baseline_error: The same of the seasonal-naive forecast.
    """

    day: date
    error: float
    baseline_error: float


class DemandStore:
    """The file; opened anew for each step, so that it may be used from any process.

    Args:
        path: Made when first used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add_day(self, region: str, day: date, demand: Sequence[float]) -> None:
        """Keep a day; it is no longer bad."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?)", (region, str(day), _text(demand)))
            db.execute("DELETE FROM bad_days WHERE region = ? AND day = ?", (region, str(day)))

    def mark_bad(self, region: str, day: date, why: str) -> None:
        """Note that a day cannot be had for now, so that nobody waits for it."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO bad_days VALUES (?, ?, ?)", (region, str(day), why))

    def days(self, region: str, wanted: Sequence[date]) -> dict[date, Profile]:
        """Those of the wanted days that are there."""
        with self._open() as db:
            rows = db.execute(
                "SELECT day, demand FROM days WHERE region = ? AND day IN (SELECT value FROM json_each(?))",
                (region, _names(wanted)),
            ).fetchall()
        return {date.fromisoformat(day): json.loads(demand) for day, demand in rows}

    def bad_days(self, region: str, wanted: Sequence[date]) -> set[date]:
        """Those of the wanted days that are marked bad."""
        with self._open() as db:
            rows = db.execute(
                "SELECT day FROM bad_days WHERE region = ? AND day IN (SELECT value FROM json_each(?))",
                (region, _names(wanted)),
            ).fetchall()
        return {date.fromisoformat(day) for (day,) in rows}

    def add_forecast(self, day: date, demand: Sequence[float]) -> None:
        """Keep a forecast, not published yet."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO forecasts (day, demand) VALUES (?, ?)", (str(day), _text(demand)))

    def forecast(self, day: date) -> Profile | None:
        """The forecast for a day."""
        with self._open() as db:
            row = db.execute("SELECT demand FROM forecasts WHERE day = ?", (str(day),)).fetchone()
        return json.loads(row[0]) if row else None

    def publish(self, published: Published) -> None:
        """Set the errors of a forecast that is there."""
        with self._open() as db:
            db.execute(
                "UPDATE forecasts SET error = ?, baseline_error = ? WHERE day = ?",
                (published.error, published.baseline_error, str(published.day)),
            )

    def published(self) -> list[Published]:
        """Every published forecast, in order of days."""
        with self._open() as db:
            rows = db.execute(
                "SELECT day, error, baseline_error FROM forecasts WHERE error IS NOT NULL ORDER BY day"
            ).fetchall()
        return [Published(date.fromisoformat(day), *errors) for day, *errors in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction; another writer is waited for."""
        db = sqlite3.connect(self.path, timeout=10.0)
        try:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'forecasts'").fetchone():
                self._create(db)
            db.execute("PRAGMA synchronous = NORMAL")
            with db:
                yield db
        finally:
            db.close()

    def _create(self, db: sqlite3.Connection) -> None:
        db.executescript(_SCHEMA)


def open_store() -> DemandStore:
    """The store that ``DEMAND_STORE`` names, or ``demand.db`` in the state directory."""
    path = Path(os.environ.get("DEMAND_STORE") or load_settings().state_dir / "demand.db")
    path.parent.mkdir(parents=True, exist_ok=True)
    return DemandStore(path)


def _text(demand: Sequence[float]) -> str:
    return json.dumps(list(demand))


def _names(days: Sequence[date]) -> str:
    return json.dumps([str(day) for day in days])
