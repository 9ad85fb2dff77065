"""Whoever dies between two statements leaves something that another one finishes [sqlalchemy events]."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, event

from fluxora_tasks.bulk.operation import Kind, Selector, State
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.ledger.models import AuditEventRow, ReplayItemRow
from tests.integration.bulk.bench import ADA, Bench
from tests.integration.ledger.reading import rows
from tests.letters import success

pytestmark = pytest.mark.integration

#: Steps after which everything goes through; so many are not expected.
_MOST = 400


class Crash(BaseException):
    """As if the process had ended here; nobody handles it."""


@contextmanager
def crashing(engine: Engine, at: int) -> Iterator[list[int]]:
    """The ``at``-th statement or commit from now on is not done; yields how many there were."""
    seen = [0]

    def step(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == at:
            raise Crash

    event.listen(engine, "before_cursor_execute", step)
    event.listen(engine, "commit", step)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", step)
        event.remove(engine, "commit", step)


@pytest.mark.parametrize("kind", [Kind.REPLAY, Kind.DISCARD])
def test_another_one_goes_on(bench: Bench, kind: Kind) -> None:
    """At every statement and commit, or every other: nothing is taken twice, the counters stay those of the items."""
    at, reached, every = 0, True, 1 if bench.engine.dialect.name == "sqlite" else 2
    while reached:
        at += every
        assert at < _MOST
        notes = bench.record(4, name=f"x{at}-")
        operation = bench.operations.start(bench.plan(kind).id, ADA)
        reached = _dies(bench, at, partial(_drive, bench, operation.id, kind))

        operation = bench.operations.get(operation.id)
        assert (operation.state, operation.total, operation.known) == (State.COMPLETED, 4, 4), at
        assert bench.counters(operation.id) == bench.recount(operation.id)
        for note in notes:
            numbers = [row["replay_no"] for row in rows(bench.engine, ReplayItemRow, dead_letter_id=note.dead_id)]
            told = [row["event"] for row in rows(bench.engine, AuditEventRow, dead_letter_id=note.dead_id)]
            done = "replayed" if kind is Kind.REPLAY else "discarded"
            assert (numbers, told.count(done)) == ([1] if kind is Kind.REPLAY else [], 1), at


def _dies(bench: Bench, at: int, drive: Callable[[], None]) -> bool:
    """An executor dies at a step, another one goes on; returns whether there was such a step."""
    _takes_over(bench, f"first-{at}")
    with crashing(bench.engine, at) as seen, suppress(Crash):
        drive()
    _takes_over(bench, f"second-{at}")
    drive()
    return seen[0] >= at


def _takes_over(bench: Bench, name: str) -> None:
    bench.work.release_lease()
    bench.work = Work(bench.engine, name, bench.clock)
    assert bench.work.hold_lease(3600)


def _drive(bench: Bench, id: str, kind: Kind) -> None:
    """Work until it is over; the workers answer every replay with success."""
    while not bench.operations.get(id).is_over:
        bench.work.list_more(id)
        if kind is not Kind.REPLAY:
            bench.work.act(id)
        else:
            bench.issue(id, 2)
            # what was claimed is published, by this executor or by the sweep
            for row in rows(bench.engine, ReplayItemRow, operation_id=id, active=True):
                bench.ledger.ingest([success(bench.by_id[row["dead_letter_id"]], row["replay_no"])])
            bench.work.learn(id)
        bench.work.end(id)


def test_a_stopped_one_is_wound_up(bench: Bench) -> None:
    """By another one, wherever the first one dies: what was sent has its outcome, the rest is skipped."""
    at, reached = 0, True
    while reached:
        at += 1
        assert at < _MOST
        bench.record(4, name=f"x{at}-")
        id = bench.start(selector=Selector(filter="status:PENDING attempts:4"))
        one, two = bench.issue(id, 2)
        bench.answer(one)
        bench.answer(two, failed=True)
        bench.operations.cancel(id, ADA)

        reached = _dies(bench, at, partial(_wind_up, bench, id))

        operation = bench.operations.get(id)
        assert (operation.state, operation.is_over) == (State.CANCELLED, True), at
        assert bench.outcomes(id) == {("succeeded", ""): 1, ("failed_again", "same"): 1, ("skipped", "cancelled"): 2}
        assert bench.counters(id) == bench.recount(id)
        bench.ledger.discard(list(bench.by_id), ADA)


def _wind_up(bench: Bench, id: str) -> None:
    while not bench.operations.get(id).is_over:
        bench.work.skip_rest(id)
        bench.work.learn(id)
        bench.work.end(id)
