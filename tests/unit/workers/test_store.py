"""The pipeline's store: writes may be repeated, and come from many processes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from workers.demand.store import DemandStore, Published, open_store

DAY = date(2000, 7, 3)
OTHER = date(2000, 7, 4)


@pytest.fixture
def store(tmp_path: Path) -> DemandStore:
    """An empty store."""
    return DemandStore(tmp_path / "demand.db")


def test_a_day_stored_twice_is_there_once(store: DemandStore) -> None:
    """The last one counts; regions are apart."""
    store.add_day("a", DAY, [1.0])
    store.add_day("a", DAY, [2.0])
    store.add_day("b", OTHER, [3.0])
    assert store.days("a", [DAY, OTHER]) == {DAY: [2.0]}
    assert store.days("a", []) == {}


def test_a_bad_day_is_bad_until_it_is_stored(store: DemandStore) -> None:
    """Storing it takes the mark away."""
    store.mark_bad("a", DAY, "why")
    store.mark_bad("a", DAY, "why else")
    assert store.bad_days("a", [DAY, OTHER]) == {DAY}
    assert store.bad_days("b", [DAY]) == set()
    store.add_day("a", DAY, [1.0])
    assert store.bad_days("a", [DAY]) == set()


def test_a_forecast_is_published_with_its_errors(store: DemandStore) -> None:
    """Before that it is kept, but not among the published."""
    assert store.forecast(DAY) is None
    store.add_forecast(DAY, [1.0, 2.0])
    assert store.forecast(DAY) == [1.0, 2.0]
    assert store.published() == []
    store.publish(Published(DAY, 1.5, 2.5))
    store.publish(Published(DAY, 1.25, 2.5))
    assert store.published() == [Published(DAY, 1.25, 2.5)]


def _write(arguments: tuple[Path, int]) -> None:
    path, number = arguments
    DemandStore(path).add_day("a", DAY + timedelta(days=number), [float(number)])


def test_processes_that_start_at_once_do_not_collide(store: DemandStore) -> None:
    """The first writers make the tables together, and nothing is lost."""
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        list(pool.map(_write, [(store.path, number) for number in range(40)]))
    days = [DAY + timedelta(days=number) for number in range(40)]
    assert len(store.days("a", days)) == 40


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DEMAND_STORE, else the state directory."""
    monkeypatch.setenv("FLUXORA_STATE_DIR", str(tmp_path / "state"))
    assert open_store().path == tmp_path / "state" / "demand.db"
    monkeypatch.setenv("DEMAND_STORE", str(tmp_path / "other" / "file.db"))
    assert open_store().path == tmp_path / "other" / "file.db"
    open_store().mark_bad("a", DAY, "why")
