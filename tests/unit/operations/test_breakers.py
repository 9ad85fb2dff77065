"""Circuits for operators, over a store in memory whose clock the test holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import NoReturn

import pytest

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Counts, Order, Override, Report, Status
from fluxora_tasks.breaker.registry import Breakers
from fluxora_tasks.breaker.stores.memory import MemoryBreakerStore
from fluxora_tasks.errors import ConfigurationError, StoreUnavailable, UnknownCircuit
from fluxora_tasks.ledger.filters import FilterError
from fluxora_tasks.operations.breakers import BreakerOperations, open_breakers
from fluxora_tasks.operations.records import Actor

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA = Actor("ada", "deploy")
POLICY = BreakerPolicy(cooldown=7, jitter=0)


class Kept(MemoryBreakerStore):
    """A store that notes what it is asked to read, and may be away.

    Attributes:
        now: Its clock, ms.
        asked: Numbers of circuits read.
        is_away: Orders find it gone.
    """

    def __init__(self) -> None:
        self.now = round(NOON.timestamp() * 1000)
        self.asked: list[int] = []
        self.is_away = False
        super().__init__(lambda: self.now, Random(1))

    def read(self, names: Sequence[str]) -> list[Status]:
        self.asked.append(len(names))
        return super().read(names)

    def reset(self, name: str, order: Order, policy: BreakerPolicy) -> NoReturn:
        raise StoreUnavailable("shared state is away")

    def used(self, *names: str, failures: int = 0) -> None:
        """Have calls reported: two, or as many as failed."""
        counts = Counts(max(2, failures), failures)
        self.flush([Report(name, POLICY, 0, counts) for name in names], "worker-1")


@pytest.fixture
def store() -> Kept:
    """Four circuits, of which one is open."""
    store = Kept()
    store.used("alpha", "beta", "tenant-1", "tenant-[2]")
    store.used("weather", failures=5)
    return store


@pytest.fixture
def operations(store: Kept) -> BreakerOperations:
    """The operations over them."""
    return BreakerOperations(store, lambda name: POLICY)


# ------------------------------------------------------------------------------------------------ looking


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["alpha", "beta", "tenant-1", "tenant-[2]", "weather"]),
        ("name:alpha", ["alpha"]),
        ("name:tenant-*", ["tenant-1", "tenant-[2]"]),
        ("name:tenant-[*", ["tenant-[2]"]),  # only * means anything
        ("name:tenant-?", []),
        ("state:open", ["weather"]),
        ("state:CLOSED name:*a", ["alpha", "beta"]),
        ("override:NONE state:OPEN", ["weather"]),
        ("override:DISABLED", []),
    ],
)
def test_filters(operations: BreakerOperations, text: str, names: list[str]) -> None:
    """By name, by what decides about calls, by override; all terms must hold."""
    page = operations.list(text)
    assert [item.name for item in page.items] == names
    assert page.total == len(names)
    assert operations.names(text) == names


def test_a_filter_that_cannot_be_meant(operations: BreakerOperations) -> None:
    """The fields are those of circuits, not of dead letters."""
    with pytest.raises(FilterError, match="name, state, override"):
        operations.list("task:x")
    with pytest.raises(FilterError, match="did you mean FORCED_OPEN"):
        operations.list("state:FORCED_OPN")


def test_pages(operations: BreakerOperations) -> None:
    """Each goes on where the last ended, and no cursor is a piece of shell that a name brought in."""
    seen, cursor = [], None
    for _ in range(3):
        page = operations.list(limit=2, cursor=cursor)
        seen += [item.name for item in page.items]
        assert page.total == 5
        cursor = page.next
    assert seen == ["alpha", "beta", "tenant-1", "tenant-[2]", "weather"]
    assert cursor is None


def test_a_cursor_is_safe_to_paste(store: Kept, operations: BreakerOperations) -> None:
    """Names come from arguments of tasks: they may be commands to a shell."""
    store.used("$(reboot) ;'", "z")
    page = operations.list(limit=1)
    assert page.items[0].name == "$(reboot) ;'"
    assert page.next is not None
    assert page.next.isalnum()
    assert operations.list(limit=1, cursor=page.next).items[0].name == "alpha"


@pytest.mark.parametrize("cursor", ["garb*ge", "é", "_w"])
def test_a_cursor_of_nobody(operations: BreakerOperations, cursor: str) -> None:
    """It is refused, not taken for a place."""
    with pytest.raises(ConfigurationError, match="cursor"):
        operations.list(cursor=cursor)


def test_a_page_reads_no_other_circuit(store: Kept, operations: BreakerOperations) -> None:
    """Where the name is all that is asked for; of very many, so many at once as an answer may hold."""
    store.used(*(f"many-{number:04}" for number in range(1100)))
    operations.list("name:many-*", limit=3)
    assert store.asked == [3]
    store.asked.clear()
    operations.list("name:many-* state:OPEN")
    assert store.asked == [500, 500, 100]


def test_one_circuit(operations: BreakerOperations) -> None:
    """What decides, since and until when, and why; with what it went through."""
    detail = operations.get("weather")
    item = detail.summary
    assert (item.state, item.automatic_state, item.reason, item.attempts) == ("OPEN", "OPEN", "all_failed", 1)
    assert item.since == NOON
    assert item.until == NOON.replace(second=7)
    assert [line.event for line in detail.history] == ["opened"]
    closed = operations.get("alpha")
    assert (closed.summary.calls, closed.summary.failure_rate, closed.summary.until) == (2, 0.0, None)


def test_a_probe_under_way(store: Kept, operations: BreakerOperations) -> None:
    """Its lease and what is left of it, in seconds."""
    store.now += 8_000
    assert store.admit("weather", "w:1", POLICY, "worker-1").granted
    store.now += 500
    detail = operations.get("weather")
    assert detail.summary.state == "HALF_OPEN"
    assert detail.leases == {"w:1": 29.5}


def test_history_is_newest_first_and_limited(operations: BreakerOperations) -> None:
    """As many lines as asked for."""
    operations.force(["weather"], Override.DISABLED, None, ADA)
    assert [line.event for line in operations.history("weather", 1)] == ["override_set"]
    assert [line.event for line in operations.history("weather", 9)] == ["override_set", "opened"]


def test_a_name_of_nobody(operations: BreakerOperations) -> None:
    """Names like it are named; one that no circuit may have is another mistake."""
    with pytest.raises(UnknownCircuit, match="did you mean 'weather'"):
        operations.get("wether")
    with pytest.raises(UnknownCircuit, match="fluxora breakers list"):
        operations.history("qqq")
    with pytest.raises(ConfigurationError, match="braces"):
        operations.get("{x}")


def test_an_override_whose_time_is_over_is_over(store: Kept, operations: BreakerOperations) -> None:
    """Before the next call takes note of it, people see what that call will find."""
    operations.force(["weather"], Override.FORCED_OPEN, 60, ADA)
    assert operations.get("weather").summary.override_until == NOON.replace(minute=1)
    store.now += 60_000
    item = operations.get("weather").summary
    assert (item.state, item.automatic_state, item.override, item.reason) == (
        "CLOSED",
        "CLOSED",
        "NONE",
        "override_ended",
    )
    assert (item.since, item.until, item.override_until) == (NOON.replace(minute=1), None, None)
    assert (item.override_by, item.override_why) == ("", "")
    assert store.admit("weather", "w:1", POLICY, "worker-1").granted


# ------------------------------------------------------------------------------------------------- acting


@pytest.mark.parametrize("override", ["FORCED_OPEN", "FORCED_CLOSED", "DISABLED", "METRICS_ONLY"])
def test_forcing(operations: BreakerOperations, override: str) -> None:
    """With an end, an actor and a reason; what the circuit would do by itself stays visible."""
    (result,) = operations.force(["alpha"], Override(override), 300, ADA)
    assert (result.outcome, result.status, result.detail) == ("done", override, "until 2026-03-01 12:05:00 UTC")
    item = operations.get("alpha").summary
    assert (item.state, item.automatic_state, item.override) == (override, "CLOSED", override)
    assert (item.override_by, item.override_why) == ("ada", "deploy")


def test_forcing_without_end(operations: BreakerOperations) -> None:
    """It has no end, though the circuit below has one."""
    (result,) = operations.force(["weather"], Override.FORCED_OPEN, None, ADA)
    assert (result.status, result.detail) == ("FORCED_OPEN", "")
    assert operations.get("weather").summary.override_until is None


@pytest.mark.parametrize(("soft", "state"), [(False, "CLOSED"), (True, "HALF_OPEN")])
def test_release(operations: BreakerOperations, soft: bool, state: str) -> None:
    """To all calls at once, or to probes first."""
    operations.force(["alpha"], Override.FORCED_OPEN, 300, ADA)
    (result,) = operations.release(["alpha"], ADA, soft)
    assert (result.outcome, result.status) == ("done", state)


@pytest.mark.parametrize(("seconds", "until"), [(30.0, "12:00:30"), (None, "12:00:07")])
def test_trip(operations: BreakerOperations, seconds: float | None, until: str) -> None:
    """Open for as long as was said, or for the first cooldown of the circuit's own policy."""
    (result,) = operations.trip(["alpha"], seconds, ADA)
    assert (result.status, result.detail) == ("OPEN", f"until 2026-03-01 {until} UTC")
    assert operations.get("alpha").summary.reason == "manual"


def test_an_order_of_many(operations: BreakerOperations) -> None:
    """Each has its own result, in the order given and once; one that nobody knows is obeyed, and said to be new."""
    results = operations.trip(["beta", "{x}", "new", "beta"], 30, ADA)
    assert [(one.id, one.outcome) for one in results] == [("beta", "done"), ("{x}", "refused"), ("new", "done")]
    assert "braces" in results[1].detail
    assert "nobody has used this name yet" not in results[0].detail
    assert results[2].detail == "until 2026-03-01 12:00:30 UTC; nobody has used this name yet"


def test_a_circuit_that_changed_meanwhile(operations: BreakerOperations) -> None:
    """It is left alone; with the generation that was seen it obeys."""
    seen = operations.get("weather").summary.generation
    (conflict,) = operations.release(["weather"], ADA, expected=seen - 1)
    assert (conflict.outcome, conflict.status) == ("conflict", None)
    assert operations.get("weather").summary.generation == seen
    (done,) = operations.trip(["weather"], 30, ADA, expected=seen)
    assert done.outcome == "done"


def test_the_store_goes_away_in_between(operations: BreakerOperations) -> None:
    """What was not done is said to have failed."""
    results = operations.reset(["alpha", "beta"], ADA)
    assert [(one.outcome, one.status) for one in results] == [("failed", None)] * 2


def test_no_shared_state() -> None:
    """Each process has circuits of its own then, and this one none that matter."""
    with pytest.raises(ConfigurationError, match="FLUXORA_REDIS_URL"):
        open_breakers(Breakers(None))
