"""What becomes of a message whose circuit refuses it, and for how long it is put off."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.task.admission import (
    LONGEST,
    SHORTEST,
    Defer,
    Refuse,
    RunFallback,
    Terms,
    Waited,
    decide,
    delay_for,
    terms_of,
    waited_of,
)

OPEN = CircuitBreakerError("api", "OPEN", 5.0)
FRESH, LATE = Waited(), Waited(3, 3600.0)
STILL_OPEN = Refuse("circuit 'api' is still OPEN after 3 deferrals, 3,600 s in all")
REFUSED = Refuse("refused: circuit 'api' is OPEN")


@pytest.mark.parametrize(
    ("terms", "waited", "expected"),
    [
        (Terms("defer", 3600.0), FRESH, Defer(3600.0)),
        (Terms("defer", 3600.0), Waited(2, 3599.0), Defer(1.0)),
        (Terms("defer", 3600.0), LATE, STILL_OPEN),
        (Terms("defer", 0.0), FRESH, Refuse("circuit 'api' is still OPEN after 0 deferrals, 0 s in all")),
        # a fallback that is not wanted first is wanted last
        (Terms("defer", 3600.0, has_fallback=True), FRESH, Defer(3600.0)),
        (Terms("defer", 3600.0, has_fallback=True), LATE, RunFallback()),
        (Terms("fallback", 3600.0, has_fallback=True), FRESH, RunFallback()),
        # it was asked, and had no value
        (Terms("fallback", 3600.0), FRESH, Defer(3600.0)),
        (Terms("fallback", 3600.0), LATE, STILL_OPEN),
        (Terms("reject", 3600.0), FRESH, REFUSED),
        (Terms("reject", 3600.0, has_fallback=True), FRESH, REFUSED),
    ],
)
def test_what_becomes_of_a_refused_message(terms: Terms, waited: Waited, expected: Any) -> None:
    """By what its task wants, and by how long it has waited."""
    assert decide(OPEN, terms, waited) == expected


@given(
    retry_after=st.floats(0, 1e6),
    state=st.sampled_from(["OPEN", "HALF_OPEN", "FORCED_OPEN"]),
    at_most=st.floats(0, 1e6),
    crowd=st.integers(1, 100_000),
    seed=st.integers(),
)
def test_a_wait_is_neither_too_short_nor_too_long(
    retry_after: float, state: str, at_most: float, crowd: int, seed: int
) -> None:
    """It never makes a circle, is no longer than what is left of the task's patience, and notices a recovery."""
    delay = delay_for(CircuitBreakerError("api", state, retry_after), at_most, crowd, Random(seed))
    assert SHORTEST <= delay <= LONGEST
    assert delay <= max(at_most, SHORTEST)


@pytest.mark.parametrize(("crowd", "spread"), [(1, 2.0), (100, 2.0), (400, 8.0), (10_000, 30.0)])
def test_who_waits_for_the_same_circuit_comes_back_apart(crowd: int, spread: float) -> None:
    """After the rest of the cooldown, over 20 ms for each message of the last second: 2 s at least, 30 s at most."""
    random = Random(1)
    delays = [delay_for(OPEN, 3600.0, crowd, random) for _ in range(500)]
    assert min(delays) >= 5.0
    assert 0.9 * spread < max(delays) - min(delays) <= spread


def test_beside_a_probe_the_wait_is_short() -> None:
    """The probe may end long before its lease does."""
    beside = CircuitBreakerError("api", "HALF_OPEN", 30.0)
    assert delay_for(beside, 3600.0, 1, Random(1)) <= 3.5


@pytest.mark.parametrize(
    ("options", "asked", "expected"),
    [
        ({}, False, Terms("defer", 3600.0)),
        ({"fallback": object()}, False, Terms("fallback", 3600.0, has_fallback=True)),
        ({"fallback": object()}, True, Terms("fallback", 3600.0)),
        ({"fallback": object(), "on_open": "defer"}, False, Terms("defer", 3600.0, has_fallback=True)),
        ({"on_open": "reject", "max_defer": 5}, False, Terms("reject", 5)),
        ({"max_defer": timedelta(minutes=2)}, False, Terms("defer", 120.0)),
        ({"max_defer": 0}, False, Terms("defer", 0)),
    ],
)
def test_the_terms_of_a_task(options: dict[str, Any], asked: bool, expected: Terms) -> None:
    """A fallback is the default where there is one; the time is the task's own, or the application's."""
    task = SimpleNamespace(**{"fallback": None, "on_open": None, "max_defer": None, **options})
    assert terms_of(task, 3600.0, asked) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"fx_deferrals": 2, "fx_deferred_for": 7.5}, Waited(2, 7.5)),
        ({}, Waited()),
        (None, Waited()),
        ({"fx_deferrals": "2", "fx_deferred_for": None}, Waited()),
        ({"fx_deferrals": True, "fx_deferred_for": float("nan")}, Waited()),
        ({"fx_deferrals": -1, "fx_deferred_for": float("-inf")}, Waited()),
        ({"fx_deferrals": 10**12, "fx_deferred_for": 1e300}, Waited(10**9, 10**9)),
    ],
)
def test_headers_that_no_message_of_ours_has_say_nothing(headers: Any, expected: Waited) -> None:
    """Anybody may write headers."""
    assert waited_of(headers) == expected
