"""Whoever dies between two statements leaves something that another one finishes [sqlalchemy events]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event

from fluxora_tasks.bulk.operation import Kind, State
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
    """At every statement and commit: nothing is taken twice, and the counters stay those of the items."""
    at, reached = 0, True
    while reached:
        at += 1
        assert at < _MOST
        notes = bench.record(4, name=f"x{at}-")
        operation = bench.operations.start(bench.plan(kind).id, ADA)
        reached = _dies_once(bench, operation.id, kind, at)

        operation = bench.operations.get(operation.id)
        assert (operation.state, operation.total, operation.known) == (State.COMPLETED, 4, 4), at
        assert bench.counters(operation.id) == bench.recount(operation.id)
        for note in notes:
            numbers = [row["replay_no"] for row in rows(bench.engine, ReplayItemRow, dead_letter_id=note.dead_id)]
            told = [row["event"] for row in rows(bench.engine, AuditEventRow, dead_letter_id=note.dead_id)]
            done = "replayed" if kind is Kind.REPLAY else "discarded"
            assert (numbers, told.count(done)) == ([1] if kind is Kind.REPLAY else [], 1), at


def _dies_once(bench: Bench, id: str, kind: Kind, at: int) -> bool:
    """An executor dies at a step, another one goes on; returns whether there was such a step."""
    bench.work.release_lease()
    bench.work = Work(bench.engine, f"first-{at}", bench.clock)
    bench.work.hold_lease(3600)
    with crashing(bench.engine, at) as seen, suppress(Crash):
        _drive(bench, id, kind)
    bench.work.release_lease()
    bench.work = Work(bench.engine, f"second-{at}", bench.clock)
    bench.work.hold_lease(3600)
    _drive(bench, id, kind)
    return seen[0] >= at


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
