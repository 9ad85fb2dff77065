"""Plans and states of bulk operations, as an operator changes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from fluxora_tasks.bulk.operation import Count, Kind, Operation, PlanDrifted, Selector, State
from fluxora_tasks.deadletter.envelope import Kind as DeadKind
from fluxora_tasks.errors import ConfigurationError, ConflictError, RefusedError, UnknownOperation
from fluxora_tasks.operations.records import Actor
from tests.integration.bulk.bench import ADA, EVERYTHING, Bench, same
from tests.integration.ledger.test_claims import claim
from tests.integration.ledger.test_search import FOREIGN
from tests.letters import moment

pytestmark = pytest.mark.integration


def counted(counts: tuple[Count, ...]) -> dict[str, int]:
    """Numbers by name."""
    return {count.name: count.records for count in counts}


def test_a_plan_counts_what_is_there(bench: Bench) -> None:
    """By task, group, queue and kind; with the bytes, and the first and the last failure."""
    bench.record(3)
    bench.record(2, name="n", task="price.fetch", queue="prices", kind=DeadKind.WORKER_LOST, fingerprint=same(2))

    plan = bench.plan().plan

    assert plan.total == 5
    assert counted(plan.tasks) == {"demand.ingest": 3, "price.fetch": 2}
    assert counted(plan.groups) == {same(1).group_id: 3, same(2).group_id: 2}
    assert counted(plan.queues) == {"demand": 3, "prices": 2}
    assert counted(plan.kinds) == {"retries_exhausted": 3, "worker_lost": 2}
    assert counted(plan.statuses) == {"PENDING": 5}
    assert (plan.oldest, plan.newest) == (moment(0).isoformat(), moment(2).isoformat())


def test_a_plan_changes_nothing(bench: Bench) -> None:
    """No record is touched by it, and there is no item."""
    bench.record(3)

    operation = bench.plan()

    assert bench.ledger.status_counts()["PENDING"] == 3
    assert bench.items(operation.id) == []


def test_without_a_reason_nothing_starts(bench: Bench) -> None:
    """It stands in the audit."""
    bench.record(1)
    plan = bench.plan()

    with pytest.raises(ConfigurationError, match="needs a reason"):
        bench.operations.start(plan.id, Actor("ada", " "))

    assert bench.operations.get(plan.id).state is State.PLANNED


def test_a_plan_is_valid_for_a_quarter_of_an_hour(bench: Bench) -> None:
    """Not a second longer."""
    bench.record(1)
    early, late = bench.plan(), bench.plan()

    bench.clock.advance(900)
    assert bench.operations.start(early.id, ADA).state is State.RUNNING
    bench.clock.advance(1)
    with pytest.raises(RefusedError, match="older than 15 minutes; make a new one"):
        bench.operations.start(late.id, ADA)


def test_a_plan_that_is_not_true_any_more_is_made_anew(bench: Bench) -> None:
    """More than a tenth fewer: nothing starts, the new numbers are shown, and those may be started."""
    notes = bench.record(20)
    plan = bench.plan()
    bench.ledger.resolve([note.dead_id for note in notes[:3]], ADA)

    with pytest.raises(PlanDrifted, match="20 records were planned, now there are 17") as caught:
        bench.operations.start(plan.id, ADA)

    assert caught.value.plan.total == 17
    assert bench.operations.start(plan.id, ADA).planned == 17


def test_a_tenth_is_no_drift(bench: Bench) -> None:
    """Two of twenty are resolved meanwhile."""
    notes = bench.record(20)
    plan = bench.plan()
    bench.ledger.resolve([note.dead_id for note in notes[:2]], ADA)

    assert bench.operations.start(plan.id, ADA).state is State.RUNNING


def test_an_age_means_the_same_records_from_then_on(bench: Bench) -> None:
    """What is old enough when it is planned; not what has become so until it is started."""
    bench.record(2, at=0)  # 1000 and 999 s ago
    bench.record(2, name="n", at=500)
    operation = bench.plan(selector=Selector(filter="age:>900s"))
    bench.clock.advance(600)

    bench.operations.start(operation.id, ADA)
    bench.work.list_more(operation.id)

    assert operation.planned == 2
    assert len(bench.items(operation.id)) == 2


def test_what_fails_later_is_not_taken(bench: Bench) -> None:
    """Neither new records, nor those that fail anew after the plan."""
    bench.record(10)
    plan = bench.plan()
    bench.record(1, name="late", at=1001)

    bench.operations.start(plan.id, ADA)
    bench.work.list_more(plan.id)

    assert len(bench.items(plan.id)) == 10


@pytest.mark.parametrize(
    ("wanted", "taken", "left_out"),
    [("", 2, {"FAILED": 1, "RETRYING": 1}), ("status:FAILED", 1, {}), ("status:PENDING,FAILED", 3, {})],
)
def test_quarantined_ones_are_asked_for(bench: Bench, wanted: str, taken: int, left_out: dict[str, int]) -> None:
    """Only a filter on statuses takes FAILED ones; what is left out is said."""
    notes = bench.record(4)
    _quarantine(bench, notes[0].dead_id)
    claim(bench.ledger, notes[1].dead_id)

    plan = bench.plan(selector=Selector(filter=wanted) if wanted else EVERYTHING).plan

    assert plan.total == taken
    assert counted(plan.left_out) == left_out
    assert bool(left_out) == any("quarantined (FAILED)" in line for line in plan.warnings)


def _quarantine(bench: Bench, dead_id: str) -> None:
    """A record fails as often as it may."""
    for _ in range(3):
        bench.answer(claim(bench.ledger, dead_id), failed=True)


def test_ids_are_taken_oldest_first(bench: Bench) -> None:
    """Each once; one that leads nowhere is warned of, and skipped as unknown."""
    notes = bench.record(3)
    ids = (notes[2].dead_id, "nobody", notes[0].dead_id, notes[2].dead_id)

    operation = bench.operations.start(bench.plan(selector=Selector(ids=ids)).id, ADA)
    bench.work.list_more(operation.id)

    assert operation.planned == 2
    assert "1 of the ids lead to no record" in operation.plan.warnings[0]
    assert [(item["dead_letter_id"], item["outcome"], item["why"]) for item in bench.items(operation.id)] == [
        (notes[0].dead_id, "pending", ""),
        (notes[2].dead_id, "pending", ""),
        ("nobody", "skipped", "unknown"),
    ]
    assert bench.counters(operation.id) == bench.recount(operation.id)


def test_two_who_start_the_same_plan(bench: Bench) -> None:
    """One does, and the other is told; it is started once."""
    bench.record(5)
    plan = bench.plan()
    barrier, told = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        try:
            told.append(bench.operations.start(plan.id, ADA).state.value)
        except ConflictError as exc:
            told.append(str(exc))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert told.count("running") == 1
    assert all(plan.id in line for line in told if line != "running")
    assert bench.trail(plan.id) == [("operation_planned", None, "planned"), ("operation_running", "planned", "running")]


# ------------------------------------------------------------------------------------------- states

Step = Callable[[Bench, str], object]

STEPS: dict[str, Step] = {
    "start": lambda bench, id: bench.operations.start(id, ADA),
    "pause": lambda bench, id: bench.operations.pause(id, ADA),
    "resume": lambda bench, id: bench.operations.resume(id, ADA),
    "cancel": lambda bench, id: bench.operations.cancel(id, ADA),
    "hold": lambda bench, id: bench.work.hold(id, "circuit prices is OPEN"),
    "go on": lambda bench, id: bench.work.go_on(id),
    "abort": lambda bench, id: bench.work.abort(id, "cause not fixed"),
}


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        (["start", "pause", "resume", "cancel"], ["running", "paused", "running", "cancelled"]),
        (["cancel"], ["cancelled"]),
        (["start", "hold", "go on", "abort"], ["running", "paused", "running", "aborted"]),
        (["start", "pause", "cancel"], ["running", "paused", "cancelled"]),
        # an operator takes over a pause it made by itself
        (["start", "hold", "pause", "go on"], ["running", "paused", "running", "paused"]),
    ],
)
def test_every_change_is_told_once(bench: Bench, steps: list[str], states: list[str]) -> None:
    """One line of the audit and one event for each, and none more."""
    bench.record(2)
    id = bench.plan().id

    for step in steps:
        STEPS[step](bench, id)

    before = ["planned", *states[:-1]]
    changed = [(f"operation_{state}", old, state) for old, state in zip(before, states, strict=True)]
    assert bench.trail(id) == [("operation_planned", None, "planned"), *changed]
    assert bench.events(id) == ["operation.planned", *(f"operation.{state}" for state in states)]
    assert bench.operations.get(id).state == states[-1]


@pytest.mark.parametrize(
    ("steps", "refused", "said"),
    [
        ([], "pause", "is planned and cannot be paused"),
        ([], "resume", "is planned; start it"),
        (["start"], "start", "is running already"),
        (["start"], "resume", "is running already"),
        (["start", "pause"], "pause", "is paused already"),
        (["cancel"], "start", "is cancelled and cannot be started"),
        (["start", "abort"], "resume", "is aborted and cannot be started or resumed"),
        (["start", "abort"], "cancel", "is aborted and cannot be cancelled"),
    ],
)
def test_what_is_refused_leaves_no_trace(bench: Bench, steps: list[str], refused: str, said: str) -> None:
    """Neither in the audit nor among the events."""
    bench.record(2)
    id = bench.plan().id
    for step in steps:
        STEPS[step](bench, id)
    before = (bench.trail(id), bench.events(id), bench.operations.get(id))

    with pytest.raises(ConflictError, match=said):
        STEPS[refused](bench, id)

    assert (bench.trail(id), bench.events(id), bench.operations.get(id)) == before


def test_an_operation_that_nobody_knows(bench: Bench) -> None:
    """Whatever is wanted of it."""
    for step in ("start", "pause", "resume", "cancel"):
        with pytest.raises(UnknownOperation):
            STEPS[step](bench, "nobody")


# -------------------------------------------------------------------------------------------- pages


def test_pages_of_operations(bench: Bench) -> None:
    """The newest first, each once."""
    bench.record(1)
    made: list[Operation] = []
    for number in range(7):
        bench.clock.advance(1 if number % 3 else 0)  # some at the same moment
        made.append(bench.plan())

    seen: list[str] = []
    cursor = None
    while True:
        page, total, cursor = bench.operations.list(limit=3, cursor=cursor)
        seen += [operation.id for operation in page]
        assert total == 7
        if cursor is None:
            break

    assert sorted(seen) == sorted(operation.id for operation in made)
    times = {operation.id: operation.planned_at for operation in made}
    assert all(times[one] >= times[next_one] for one, next_one in pairwise(seen))


def test_a_cursor_of_somebody_else(bench: Bench) -> None:
    """One line says what to do."""
    for cursor in FOREIGN:
        with pytest.raises(ConfigurationError, match="not a cursor of this list") as caught:
            bench.operations.list(cursor=cursor)
        assert len(str(caught.value).splitlines()) == 1


def test_pages_of_items(bench: Bench) -> None:
    """In the order of the operation, by outcome too."""
    notes = bench.record(7)
    id = bench.start(Kind.DISCARD)
    bench.ledger.resolve([notes[3].dead_id], ADA)
    bench.work.act(id)

    first, total, after = bench.operations.items(id, limit=5)
    assert after is not None
    rest, _, end = bench.operations.items(id, limit=5, after=after)
    skipped, count, _ = bench.operations.items(id, outcome="skipped")

    assert [item.dead_letter_id for item in (*first, *rest)] == [note.dead_id for note in notes]
    assert (total, end) == (7, None)
    assert ([item.dead_letter_id for item in skipped], count) == ([notes[3].dead_id], 1)


def test_a_beginning_of_an_id_leads_to_it(bench: Bench) -> None:
    """For people who type."""
    one = bench.plan()
    bench.clock.advance(timedelta(days=1).total_seconds())
    assert bench.operations.ids_starting_with(one.id[:12]) == [one.id]
    assert bench.operations.ids_starting_with("zzz") == []
