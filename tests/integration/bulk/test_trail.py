"""Changes of an operation's state and what is told of them: together or not at all, whoever dies or hurries."""

from __future__ import annotations

import random
import threading
from contextlib import suppress

import pytest

from fluxora_tasks.bulk.operation import NEXT, PlanDrifted, State
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.errors import ConfigurationError, ConflictError, RefusedError
from fluxora_tasks.operations.records import Actor
from tests.integration.bulk.bench import ADA, Bench
from tests.integration.bulk.test_crashes import Crash, crashing
from tests.integration.bulk.test_plans import STEPS
from tests.letters import letter

pytestmark = pytest.mark.integration

#: Before -> step.
PATHS = {
    "start": [],
    "pause": ["start"],
    "resume": ["start", "pause"],
    "cancel": ["start", "pause"],
    "hold": ["start"],
    "go on": ["start", "hold"],
    "abort": ["start", "hold"],
    "end": ["start"],
}

CHANGES = {**STEPS, "end": lambda bench, id: bench.work.end(id)}


def told(bench: Bench, id: str) -> tuple[str, int, int]:
    """Its state, and how many changes stand in the audit and among the events."""
    return bench.operations.get(id).state, len(bench.trail(id)), len(bench.events(id))


def test_a_change_is_told_or_was_not_made(bench: Bench) -> None:
    """Whoever makes it may die before any of its statements, and before the commit."""
    for name in PATHS:
        at = 1
        while _dies(bench, name, at):
            at += 1
        assert at > 2, name


def _dies(bench: Bench, name: str, at: int) -> bool:
    """Somebody dies before the ``at``-th statement or commit of a change; returns whether there was one."""
    id = bench.plan().id
    for step in PATHS[name]:
        CHANGES[step](bench, id)
    bench.work.list_more(id)
    before, died = told(bench, id), False
    with crashing(bench.engine, at):
        try:
            CHANGES[name](bench, id)
        except Crash:
            died = True
    after = told(bench, id)
    if died and after[0] == before[0]:
        assert after == before, (name, at)
    else:
        # after the commit it only looks at what was done
        assert after[0] != before[0], (name, at)
        assert after[1:] == (before[1] + 1, before[2] + 1), (name, at)
    return died


def test_a_plan_is_told_or_was_not_made(bench: Bench) -> None:
    """Likewise."""
    at, died = 0, True
    while died:
        at += 1
        _, before, _ = bench.operations.list()
        died = False
        with crashing(bench.engine, at):
            try:
                bench.plan()
            except Crash:
                died = True
        page, after, _ = bench.operations.list(limit=1)
        assert after - before in ((0, 1) if died else (1,))
        assert all(told(bench, one.id) == ("planned", 1, 1) for one in page)


def test_a_start_that_is_refused_leaves_no_trace(bench: Bench) -> None:
    """Without a reason, of another plan than was seen, or too late."""
    notes = bench.record(20)
    id = bench.plan().id

    with pytest.raises(ConfigurationError):
        bench.operations.start(id, Actor("ada", " \n"))
    bench.ledger.discard([note.dead_id for note in notes[:5]], ADA)
    with pytest.raises(ConflictError):
        bench.operations.start(id, ADA)
    bench.clock.advance(901)
    with pytest.raises(RefusedError):
        bench.operations.start(id, ADA)

    assert told(bench, id) == ("planned", 1, 1)


def test_a_plan_that_was_made_anew_is_valid_from_then_on(bench: Bench) -> None:
    """With its cut-off as before; also where there are more records than were planned."""
    notes = bench.record(20)
    bench.ledger.discard([note.dead_id for note in notes[:10]], ADA)
    planned = bench.plan()
    bench.clock.advance(800)
    bench.ledger.restore([note.dead_id for note in notes[:10]], ADA)
    bench.ledger.ingest([letter("late", at=1500)])

    with pytest.raises(ConflictError, match="10 records were planned, now there are 20"):
        bench.operations.start(planned.id, ADA)
    bench.clock.advance(800)
    started = bench.operations.start(planned.id, ADA)

    assert (started.planned, started.plan.total) == (20, 20)
    assert started.cutoff_at == planned.cutoff_at


def test_somebody_starts_a_plan_while_another_looks_at_it(bench: Bench) -> None:
    """It has drifted for both; who comes second is not told of a new plan that may be started."""
    notes = bench.record(20)
    id = bench.plan().id
    bench.ledger.discard([note.dead_id for note in notes[:5]], ADA)

    def quicker(task: str, queue: str) -> None:
        with pytest.raises(PlanDrifted):
            bench.operations.start(id, ADA)
        bench.operations.start(id, ADA)

    with pytest.raises(ConflictError, match="was changed meanwhile") as caught:
        bench.operations.start(id, ADA, holds=quicker)

    assert not isinstance(caught.value, PlanDrifted)
    assert told(bench, id) == ("running", 2, 2)


@pytest.mark.parametrize("seed", range(3))
def test_many_hands_on_one_operation(bench: Bench, seed: int) -> None:
    """Each change follows from the one before it, and is told once; no two make the same."""
    bench.record(3)
    id = bench.plan().id
    workers = [Work(bench.engine, bench.executor, bench.clock) for _ in range(2)]
    barrier = threading.Barrier(6)
    faults: list[Exception] = []

    def meddle(number: int) -> None:
        chance = random.Random(10 * seed + number)
        own = Bench.__new__(Bench)
        own.operations, own.work = bench.operations, workers[number % 2]
        barrier.wait()
        for _ in range(12):
            name = chance.choice(["start", "pause", "resume", "hold", "go on", "pause", "resume"])
            try:
                with suppress(ConflictError):
                    CHANGES[name](own, id)
            except Exception as exc:
                faults.append(exc)

    threads = [threading.Thread(target=meddle, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    trail = bench.trail(id)
    assert trail[0] == ("operation_planned", None, "planned")
    states = [after for _, _, after in trail]
    assert [before for _, before, _ in trail[1:]] == states[:-1]
    assert all(State(after) in NEXT[State(before)] for _, before, after in trail[1:] if before)
    assert bench.events(id) == [f"operation.{state}" for state in states]
    assert (bench.operations.get(id).state, bench.operations.get(id).version) == (states[-1], len(states))
