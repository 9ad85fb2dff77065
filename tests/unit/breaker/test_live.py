"""LiveBreaker: what calls of a process meet."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future
from typing import Any

import pytest

from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.permit import Permit
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Order, Override
from fluxora_tasks.breaker.sharing import IDLE
from fluxora_tasks.breaker.view import STALENESS, Source
from fluxora_tasks.errors import RefusedError
from fluxora_tasks.events import (
    BreakerChanged,
    BreakerOverridden,
    BreakerPolicyMismatch,
    BreakerRefused,
    BreakerStoreAway,
    BreakerStoreBack,
    subscribe,
)
from tests.unit.breaker.hands import Fleet, Hour, Process, fail, permitted, refused, succeed

#: Opens after three failures for ten seconds, one probe decides.
POLICY = BreakerPolicy(all_failed=3, cooldown=10.0, jitter=0.0, probes=1, probes_required=1)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def process(fleet: Fleet) -> Process:
    return fleet.process()


@pytest.fixture
def events() -> Any:
    heard: list[Any] = []
    end = subscribe(heard.append)
    yield heard
    end()


# ---------------------------------------------------------------------------------------- of this process alone


def alone(policy: BreakerPolicy = POLICY) -> tuple[LiveBreaker, Hour]:
    clock = Hour()
    return LiveBreaker("", policy, monotonic=clock), clock


def test_alone_it_opens_probes_and_closes() -> None:
    """Three failures open it for its cooldown, then one call decides."""
    circuit, clock = alone()
    fail(circuit, 3)
    assert refused(circuit).retry_after == pytest.approx(10.0)
    clock.now += 10.0
    probe = permitted(circuit)
    assert refused(circuit).state == "HALF_OPEN"
    probe.success()
    assert circuit.view.state == "CLOSED"
    permitted(circuit)


def test_alone_a_probe_that_runs_longer_than_its_lease_is_not_lost() -> None:
    """The permit is there, so the call is, too; one that nobody holds any more gives its place back."""
    circuit, clock = alone()
    fail(circuit, 3)
    clock.now += 10.0
    probe = permitted(circuit)
    clock.now += 40.0
    assert refused(circuit).state == "HALF_OPEN"
    del probe
    clock.now += 40.0
    assert permitted(circuit).lease is not None


def test_successes_count_with_the_next_failure() -> None:
    """Nine of ten succeed: half as many failures as calls are needed, so the circuit stays closed."""
    circuit, _ = alone()
    succeed(circuit, 9)
    fail(circuit, 8)
    assert circuit.view.state == "CLOSED"
    fail(circuit)
    assert circuit.view.state == "OPEN"


def test_a_slow_call_counts_once_even_before_it_ends() -> None:
    """It hangs, is counted as slow, and is no success when it comes back after all."""
    policy = BreakerPolicy(slow_call=1.0, slow_rate=1.0, min_calls=2, all_failed=None)
    fleet = Fleet()
    process = fleet.process()
    circuit = process.circuit(policy)
    hanging = [permitted(circuit), permitted(circuit)]
    fleet.clock.now += 1.5
    process.turn()
    assert fleet.store.read(["api"])[0].snapshot.reason == "slow_rate"
    for permit in hanging:
        permit.success()
    process.turn()
    assert fleet.store.read(["api"])[0].late == 0


def test_what_trip_on_says_opens_at_once() -> None:
    """A failure that asks for a pause gets it; another predicate that raises has no opinion."""
    circuit, _ = alone(BreakerPolicy(trip_on=lambda error: 42.0))
    permitted(circuit).failure(RuntimeError())
    assert refused(circuit).retry_after == pytest.approx(42.0)
    circuit, _ = alone(BreakerPolicy(trip_on=lambda error: 1 / 0))
    permitted(circuit).failure(RuntimeError())
    assert circuit.view.state == "CLOSED"


def test_what_says_nothing_about_the_other_side_is_not_counted() -> None:
    """Cancelled, refused on our side, or given back."""
    circuit, _ = alone(BreakerPolicy(all_failed=1))
    for error in (asyncio.CancelledError(), KeyboardInterrupt(), RefusedError("ours")):
        permitted(circuit).settle(error)
    permitted(circuit).ignore()
    permitted(circuit).release()
    assert circuit.view.state == "CLOSED"


def test_the_second_end_of_a_call_changes_nothing() -> None:
    """Only what was said first counts."""
    circuit, _ = alone(BreakerPolicy(all_failed=1))
    permit = permitted(circuit)
    permit.success()
    permit.failure()
    assert circuit.status()["failures"] == 0


# --------------------------------------------------------------------------------------------------- shared


def test_failures_of_two_processes_are_one_sum(fleet: Fleet) -> None:
    """Two here and one there open it for both."""
    here, there = fleet.process(), fleet.process()
    ours, theirs = here.circuit(POLICY), there.circuit(POLICY)
    fail(ours, 2)
    fail(theirs, 1)
    assert ours.view.state == theirs.view.state == "CLOSED"
    here.turn()
    there.turn()
    here.turn()
    assert refused(ours).state == refused(theirs).state == "OPEN"


def test_a_rule_that_one_process_breaks_alone_refuses_before_the_store_has_judged(process: Process) -> None:
    """The store is told at once, and its verdict replaces the guess."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    assert process.lane.woken[-1] == 0.0
    assert refused(circuit).retry_after <= 0.25
    process.turn()
    assert refused(circuit).retry_after == pytest.approx(10.0)


def test_a_guess_that_was_wrong_is_taken_back(fleet: Fleet) -> None:
    """Successes elsewhere outweigh the failures here."""
    here, there = fleet.process(), fleet.process()
    ours, theirs = here.circuit(POLICY), there.circuit(POLICY)
    permitted(ours).ignore()
    succeed(theirs, 20)
    there.turn()
    fail(ours, 3)
    assert ours.peek() is not None
    here.turn()
    permitted(ours)


def test_a_permit_of_an_earlier_life_is_late(fleet: Fleet, process: Process) -> None:
    """It neither fills the new window nor extends the opening."""
    circuit = process.circuit(POLICY)
    old = permitted(circuit)
    fail(circuit, 3)
    process.turn()
    old.failure()
    process.turn()
    status = fleet.store.read(["api"])[0]
    assert (status.late, status.snapshot.counts.failures) == (1, 0)


def test_one_probe_for_all_processes(fleet: Fleet) -> None:
    """The others are refused, and do not ask again in a circle."""
    processes = [fleet.process() for _ in range(5)]
    circuits = [one.circuit(POLICY) for one in processes]
    for circuit in circuits:
        permitted(circuit).ignore()
    fail(circuits[0], 3)
    for one in processes:
        one.turn()
    fleet.clock.now += 10.0
    probe = permitted(circuits[0])
    assert [refused(circuit).state for circuit in circuits[1:]] == ["HALF_OPEN"] * 4
    assert all(circuit.peek() is not None for circuit in circuits[1:])
    probe.success()
    fleet.clock.now += 0.25
    permitted(circuits[1])


def test_a_probe_is_kept_alive_while_it_runs_and_no_longer(fleet: Fleet, process: Process) -> None:
    """Its lease is renewed with the turns; when nobody holds the permit any more, the place comes back."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    process.turn()
    fleet.clock.now += 10.0
    probe = permitted(circuit)
    for _ in range(4):
        fleet.clock.now += 11.0
        process.turn()
    assert list(fleet.store.read(["api"])[0].leases) == [probe.lease]
    del probe
    fleet.clock.now += 31.0
    process.turn()
    assert permitted(circuit).lease is not None


def test_refused_calls_are_told_together(events: list[Any]) -> None:
    """The first at once, the others as a sum."""
    circuit, clock = alone()
    fail(circuit, 3)
    for _ in range(5):
        refused(circuit)
    clock.now += 9.0
    refused(circuit)
    clock.now += 1.0
    circuit.peek()
    fail_again = [event.count for event in events if isinstance(event, BreakerRefused)]
    assert fail_again == [1]


def test_a_change_is_told_once(process: Process, events: list[Any]) -> None:
    """Whether this process caused it or heard of it."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    process.turn()
    process.turn()
    changes = [event for event in events if isinstance(event, BreakerChanged)]
    assert [(change.previous, change.current, change.reason) for change in changes] == [
        ("CLOSED", "OPEN", "all_failed")
    ]


def test_what_is_published_is_heard_and_old_news_are_not(fleet: Fleet, process: Process, events: list[Any]) -> None:
    """An operator's decision holds as soon as it is published."""
    circuit = process.circuit(POLICY)
    permitted(circuit)
    before = fleet.store.read(["api"])[0].snapshot
    forced = fleet.store.override("api", Override.FORCED_OPEN, 60.0, Order("ann", "ill"), POLICY)
    circuit.hear(forced)
    circuit.hear(before)
    assert refused(circuit).state == "FORCED_OPEN"
    assert [event.why for event in events if isinstance(event, BreakerOverridden)] == ["ill"]


def test_another_policy_elsewhere_is_told_once(fleet: Fleet, process: Process, events: list[Any]) -> None:
    """Two deployments with different thresholds."""
    circuit = process.circuit(POLICY)
    permitted(circuit)
    other = BreakerPolicy(all_failed=7)
    for _ in range(2):
        circuit.hear(fleet.store.open_for("api", 5.0, Order("ann"), other))
        fleet.store.flush([], "")
    assert len([event for event in events if isinstance(event, BreakerPolicyMismatch)]) <= 1


@pytest.mark.parametrize(
    ("override", "passes"),
    [(Override.FORCED_OPEN, False), (Override.FORCED_CLOSED, True), (Override.DISABLED, True)],
)
def test_what_an_operator_decided_holds_until_its_end(
    fleet: Fleet, process: Process, override: Override, passes: bool
) -> None:
    """Also while the store is away; without one the circuit decides again afterwards."""
    circuit = process.circuit(POLICY)
    fleet.store.override("api", override, 60.0, Order("ann"), POLICY)
    circuit.try_acquire()
    fleet.store.is_there = False
    process.turn()
    fleet.clock.now += 59.0
    assert (circuit.peek() is None) is passes
    assert isinstance(circuit.try_acquire(), Permit) is passes
    fleet.clock.now += 2.0
    permitted(circuit)


def test_a_circuit_that_nobody_uses_is_not_looked_at(fleet: Fleet, process: Process) -> None:
    """Whoever uses it next asks first, and hears what happened meanwhile."""
    circuit = process.circuit(POLICY)
    permitted(circuit).success()
    process.turn()
    fleet.clock.now += IDLE + 1
    process.turn()
    assert circuit.view.source is Source.UNKNOWN
    fleet.store.open_for("api", 500.0, Order("ann"), POLICY)
    assert refused(circuit).state == "OPEN"


# ------------------------------------------------------------------------------------------- without a store


def test_without_a_store_the_process_judges_and_the_store_wins_when_it_is_back(
    fleet: Fleet, process: Process, events: list[Any]
) -> None:
    """What was counted before counts on; a local opening is not pushed to others."""
    circuit = process.circuit(POLICY)
    fail(circuit, 2)
    process.turn()
    fleet.store.is_there = False
    process.turn()
    fail(circuit, 1)
    assert refused(circuit).state == "OPEN"
    assert circuit.status()["source"] == "local"
    fleet.store.is_there = True
    process.turn()
    process.sharing.on_store(True)
    permitted(circuit)
    assert fleet.store.read(["api"])[0].snapshot.state == "CLOSED"
    kinds = [type(event) for event in events]
    assert kinds.count(BreakerStoreAway) == kinds.count(BreakerStoreBack) == 1


def test_failures_that_could_not_be_reported_open_it_here(fleet: Fleet, process: Process) -> None:
    """The store went away between the failures and their report."""
    circuit = process.circuit(POLICY)
    permitted(circuit).ignore()
    fleet.store.is_there = False
    fail(circuit, 3)
    process.turn()
    fleet.clock.now += 1.0
    assert refused(circuit).retry_after == pytest.approx(9.0)


def test_a_known_opening_stays_in_force_without_a_store(fleet: Fleet, process: Process) -> None:
    """Until its time; then one probe at a time is made here."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    process.turn()
    fleet.store.is_there = False
    process.turn()
    fleet.clock.now += 9.0
    assert refused(circuit).retry_after == pytest.approx(1.0)
    fleet.clock.now += 1.0
    probe = permitted(circuit)
    assert probe.lease is not None
    assert refused(circuit).state == "HALF_OPEN"
    probe.success()
    permitted(circuit)


@pytest.mark.parametrize(("down", "passes"), [("open", False), ("closed", True)])
def test_a_policy_may_want_another_answer_without_a_store(fleet: Fleet, down: Any, passes: bool) -> None:
    """Once nobody has confirmed the circuit for a while."""
    process = fleet.process()
    circuit = process.circuit(BreakerPolicy(all_failed=1, on_store_down=down))
    permitted(circuit)
    fleet.store.is_there = False
    process.turn()
    permitted(circuit)
    fleet.clock.now += STALENESS + 1
    for _ in range(3):
        answer = circuit.try_acquire()
        assert isinstance(answer, Permit) is passes
        if isinstance(answer, Permit):
            answer.failure()
    fleet.store.is_there = True
    process.turn()
    permitted(circuit)


def test_an_opening_that_the_store_lost_stays_in_force_here(fleet: Fleet, process: Process) -> None:
    """The server was emptied: who knows that the other side is ill goes on sparing it."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    process.turn()
    fleet.store._circuits.clear()
    fleet.clock.now += 1.0
    process.turn()
    assert refused(circuit).retry_after == pytest.approx(9.0)
    fleet.clock.now += 9.0
    assert permitted(circuit).lease is None


def test_the_end_of_a_probe_is_told_when_the_store_is_back(fleet: Fleet, process: Process) -> None:
    """As long as the store knows the lease."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    process.turn()
    fleet.clock.now += 10.0
    probe = permitted(circuit)
    fleet.store.is_there = False
    probe.success()
    fleet.store.is_there = True
    process.turn()
    assert fleet.store.read(["api"])[0].snapshot.reason == "probes_succeeded"


# --------------------------------------------------------------------------------------------------- asyncio


class SlowLane:
    """A lane whose jobs the test finishes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.jobs: list[tuple[Any, Future[Any]]] = []
        process.sharing._lane = self  # type: ignore[assignment]

    def submit(self, job: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((job, future))
        return future

    def wake(self, within: float, participant: Any = None) -> None:
        pass

    def work(self) -> None:
        while self.jobs:
            job, future = self.jobs.pop(0)
            if future.set_running_or_notify_cancel():
                future.set_result(job())


def elapsed(fleet: Fleet, process: Process) -> LiveBreaker:
    """A circuit whose cooldown is over."""
    circuit = process.circuit(POLICY)
    fail(circuit, 3)
    process.turn()
    fleet.clock.now += 10.0
    return circuit


def test_a_cancelled_probe_gives_its_place_back_at_once(fleet: Fleet, process: Process) -> None:
    """Cancelled during the call, or while it was still asking."""
    circuit = elapsed(fleet, process)

    async def cancelled_in_its_call() -> None:
        with await circuit.acquire_async():
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled_in_its_call())
    assert not fleet.store.read(["api"])[0].leases

    lane = SlowLane(process)

    async def cancelled_while_asking() -> None:
        asking = asyncio.ensure_future(circuit.acquire_async())
        await asyncio.sleep(0)
        (job, future) = lane.jobs.pop()
        assert future.set_running_or_notify_cancel()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        future.set_result(job())

    asyncio.run(cancelled_while_asking())
    lane.work()
    assert not fleet.store.read(["api"])[0].leases


def test_a_forked_child_starts_with_what_is_known(process: Process) -> None:
    """And with nothing counted: the parent reports what the parent saw."""
    circuit = process.circuit(POLICY)
    fail(circuit, 2)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        pending = circuit.view.tally.pending()
        os.write(write, f"{circuit.view.source} {pending.failures} {process.sharing.reporter}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    source, failures, reporter = os.read(read, 200).decode().split(" ")
    assert (source, failures) == ("unknown", "0")
    assert reporter != process.sharing.reporter
    assert circuit.view.tally.pending().failures == 2
