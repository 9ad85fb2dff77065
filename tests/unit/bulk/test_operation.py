"""Operations: what may be said of them, and how they are stored."""

from __future__ import annotations

import pickle
from itertools import product

import pytest

from fluxora_tasks.bulk.operation import (
    MOST_IDS,
    NEXT,
    Count,
    Kind,
    Pace,
    Plan,
    PlanDrifted,
    Progress,
    Selector,
    State,
    estimated,
    has_drifted,
)
from fluxora_tasks.errors import ConfigurationError

ENDS = {State.COMPLETED, State.CANCELLED, State.ABORTED}


def test_what_has_ended_stays_so() -> None:
    """No state follows an end, every other state leads to one, and none leads back to a plan."""
    for before, after in product(State, State):
        if before in ENDS or after is State.PLANNED:
            assert after not in NEXT[before]
    assert all(NEXT[state] & ENDS for state in set(State) - ENDS)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"filter": "  "},
        {"ids": ("a",), "all": True},
        {"ids": ("a",), "filter": "task:x"},
        {"filter": "task:x", "all": True},
        {"ids": tuple(map(str, range(MOST_IDS + 1)))},
        # no database could keep these as the id of an item
        *({"ids": ("a", id)} for id in ("", "x" * 65, "\x00", "\ud800", "é" * 40)),
    ],
)
def test_a_selection_is_said_in_exactly_one_way(given: dict[str, object]) -> None:
    """Nothing, two things, more ids than can be named, and what can be no id are refused."""
    with pytest.raises(ConfigurationError):
        Selector(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        *({"rate": value} for value in (0, -1, float("nan"), float("inf"))),
        {"max_rate": 1},
        {"max_in_flight": 0},
        {"canary": -1},
        {"stop_ratio": 1.1},
        {"patience": 0},
    ],
)
def test_a_pace_that_cannot_work(given: dict[str, float]) -> None:
    """Is refused when it is given."""
    with pytest.raises(ConfigurationError):
        Pace(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("records", "canary"), [(1, 10), (1000, 10), (1001, 11), (5000, 50), (10**6, 100)])
def test_the_canary_is_one_percent_within_bounds(records: int, canary: int) -> None:
    """From 10 to 100, unless said otherwise."""
    assert Pace().canary_of(records) == canary
    assert Pace(canary=3).canary_of(records) == 3


def test_what_is_stored_is_read_back() -> None:
    """Selector, pace, plan and progress survive their columns."""
    plan = Plan(3, (Count("t", 3),), oldest="2000-01-01", left_out=(Count("FAILED", 1),), warnings=("w",))
    progress = Progress(False, 20.0, 3.5, 12.0, 4, 5, 6, "sf", {"g": 2}, {"g": "x"}, 7.0)
    for value in (Selector(("a", "b")), Selector(all=True), Pace(max_rate=50.0, canary=0), plan, progress):
        assert type(value).read(value.written()) == value


def test_a_drift_survives_pickle_with_its_plan() -> None:
    """The new plan travels with the error."""
    error = pickle.loads(pickle.dumps(PlanDrifted("x", 10, Plan(20))))
    assert (error.plan.total, error.code) == (20, "operation.drifted")
    assert "10 records were planned, now there are 20" in str(error)


@pytest.mark.parametrize(
    ("planned", "now", "drifted"), [(0, 0, False), (0, 1, True), (100, 110, False), (100, 111, True), (100, 89, True)]
)
def test_more_than_a_tenth_is_a_drift(planned: int, now: int, drifted: bool) -> None:
    """In either direction."""
    assert has_drifted(planned, now) is drifted


def test_the_estimate_follows_the_ramp() -> None:
    """Without a ramp it is records by rate; with one it is shorter; without sending it is nothing."""
    assert estimated(Kind.REPLAY, 1000, Pace(ramp=False)) == 100
    assert 10 < estimated(Kind.REPLAY, 1000, Pace()) < 50
    assert estimated(Kind.DISCARD, 1000, Pace()) == 0
