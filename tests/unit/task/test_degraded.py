"""Marks of results that a fallback gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fakeredis
import pytest

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.fallback import FallbackOutcome
from fluxora_tasks.task.degraded import DegradedResults, mark_key

META = FallbackOutcome(value="secret", degraded=True, source="last_good", age=12.0, cause="refused").meta()


class Store:
    """Shared state in memory, which may be away."""

    def __init__(self) -> None:
        self.client = fakeredis.FakeRedis()
        self.away = False

    def run(self, command: Callable[[Any], Any]) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        return command(self.client)


@pytest.fixture
def store() -> Store:
    return Store()


def results_of(store: Store | None, ttl: float | None = 86_400.0) -> DegradedResults:
    return DegradedResults(store, ttl)  # type: ignore[arg-type]


def test_a_mark_says_where_a_result_came_from(store: Store) -> None:
    """And not what it is; a result of the body's own has none."""
    results = results_of(store)
    results.note("one", META)
    assert results.of("one") == {"degraded": True, "source": "last_good", "age": 12.0, "cause": "refused"}
    assert results.of("two") is None
    assert b"secret" not in store.client.get(mark_key("one"))


@pytest.mark.parametrize(("ttl", "seconds"), [(60.0, 60), (None, 30 * 86_400), (1e9, 30 * 86_400), (0.0001, 0)])
def test_a_mark_lives_as_long_as_its_result(store: Store, ttl: float | None, seconds: int) -> None:
    """A month, where that never ends."""
    results_of(store, ttl).note("one", META)
    assert abs(store.client.pttl(mark_key("one")) / 1000 - seconds) < 1


def test_with_shared_state_away_the_result_goes_out_unmarked(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The log has it; who asks is told that nobody knows."""
    store.away = True
    results = results_of(store)
    results.note("one", META)
    assert "could not be marked" in caplog.text
    with pytest.raises(StoreUnavailable):
        results.of("one")


def test_without_shared_state_nothing_is_marked() -> None:
    """There is nowhere to keep it."""
    results = results_of(None)
    results.note("one", META)
    assert results.of("one") is None
