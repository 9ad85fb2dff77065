"""What a process knows of last good values, in front of what all workers share."""

from __future__ import annotations

from typing import Any

import pytest

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.fallback import kept
from fluxora_tasks.fallback.kept import Kept, LastGoodValues
from tests.unit.fallback.conftest import HeldClock


class Shared:
    """Shared values, counted questions, and a switch that takes them away."""

    def __init__(self) -> None:
        self.values: dict[str, Kept] = {}
        self.asked = 0
        self.away = False

    def find(self, key: str) -> Kept | None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.values.get(key)

    def keep(self, key: str, payload: bytes, max_age: float) -> None:
        self.values[key] = Kept(payload, 0.0)


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def values(shared: Shared, clock: HeldClock) -> LastGoodValues:
    return LastGoodValues(shared, clock)


def test_a_value_is_known_here_and_shared(values: LastGoodValues, shared: Shared, clock: HeldClock) -> None:
    """Its age grows with time."""
    values.keep("k", b"1", 60.0, 10.0)
    clock.at += 3
    assert values.recent("k") == (True, Kept(b"1", 3.0))
    assert (shared.values["k"].payload, shared.asked) == (b"1", 0)


def test_results_are_kept_once_in_a_while(values: LastGoodValues, clock: HeldClock) -> None:
    """Per key."""
    assert values.is_due("k")
    values.keep("k", b"1", 60.0, 10.0)
    assert not values.is_due("k")
    assert values.is_due("other")
    clock.at += 10
    assert values.is_due("k")


def test_what_cannot_be_kept_leaves_the_value_before(values: LastGoodValues, clock: HeldClock) -> None:
    """And is not looked at for a while."""
    values.keep("k", b"1", 60.0, 0.0)
    values.pass_over("k", 60.0)
    clock.at += 59
    assert not values.is_due("k")
    found = values.find("k")
    assert found is not None
    assert found.payload == b"1"


def test_the_youngest_value_is_given(values: LastGoodValues, shared: Shared, clock: HeldClock) -> None:
    """This process's or another worker's."""
    values.keep("k", b"ours", 60.0, 10.0)
    clock.at += 20
    shared.values["k"] = Kept(b"theirs", 5.0)
    assert values.recent("k")[0] is False, "it has not been compared for a while"
    assert values.find("k") == Kept(b"theirs", 5.0)
    shared.values["k"] = Kept(b"older", 50.0)
    assert values.find("k") == Kept(b"theirs", 5.0)


def test_a_storm_asks_once(values: LastGoodValues, shared: Shared, clock: HeldClock) -> None:
    """Also where nobody has a value, and while the store is away."""
    for away in (False, True):
        shared.asked, shared.away = 0, away
        key = f"k{away}"
        for _ in range(100):
            enough, _ = values.recent(key)
            if not enough:
                assert values.find(key) is None
        assert shared.asked == 1
    clock.at += 60
    assert values.recent("kFalse")[0] is False


def test_with_the_store_away_a_process_goes_on_with_what_it_knows(values: LastGoodValues, shared: Shared) -> None:
    """The value is given with its age."""
    values.keep("k", b"1", 60.0, 10.0)
    shared.away = True
    assert values.find("k") == Kept(b"1", 0.0)


def test_without_a_store_what_is_known_is_all(clock: HeldClock) -> None:
    """Nothing to ask, nothing to wait for."""
    values = LastGoodValues(None, clock)
    assert values.recent("k") == (True, None)
    assert values.find("k") is None
    values.keep("k", b"1", 60.0, 10.0)
    clock.at += 3600
    assert values.recent("k") == (True, Kept(b"1", 3600.0))


@pytest.mark.parametrize(("bound", "limit"), [("_MOST_ENTRIES", 3), ("_MOST_BYTES", 30)])
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, clock: HeldClock, bound: str, limit: Any) -> None:
    """By number and by bytes; what was not used for longest goes first."""
    monkeypatch.setattr(kept, bound, limit)
    values = LastGoodValues(None, clock)
    for number in range(3):
        values.keep(f"k{number}", b"x" * 10, 60.0, 0.0)
    values.find("k0")
    values.keep("k3", b"x" * 10, 60.0, 0.0)
    assert [values.find(f"k{number}") is not None for number in (0, 2, 3)] == [True, True, True]
    assert values.recent("k1") == (True, None)
