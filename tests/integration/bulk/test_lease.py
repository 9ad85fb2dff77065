"""One executor at a time, by the clock of the database."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from fluxora_tasks.bulk.operation import Kind
from fluxora_tasks.bulk.work import LeaseLost, Work
from fluxora_tasks.ledger.models import ReplayItemRow
from tests.integration.bulk.bench import Bench
from tests.integration.ledger.reading import rows
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def test_another_one_takes_over_once_the_lease_is_over(bench: Bench) -> None:
    """The one who was away too long writes nothing, and cannot have the lease back."""
    bench.record(3)
    id = bench.start()
    other = Work(bench.engine, "executor-2", bench.clock)
    assert bench.work.hold_lease(0.2)

    wait_until(lambda: other.hold_lease(3600), 10, "the end of the lease")

    with pytest.raises(LeaseLost):
        bench.issue(id)
    assert not bench.work.hold_lease(3600)
    bench.work.release_lease()  # it has none
    assert bench.operations.executor() == "executor-2"
    assert len(other.issue(id, 3, bench.operations.get(id).progress)) == 3


def test_who_has_the_lease_is_told(bench: Bench) -> None:
    """Or that nobody has."""
    assert bench.operations.executor() == bench.executor
    bench.work.release_lease()
    assert bench.operations.executor() is None


def test_many_want_the_lease(bench: Bench) -> None:
    """One of those who ask at the same moment gets it."""
    bench.work.release_lease()
    others = [Work(bench.engine, f"executor-{number}", bench.clock) for number in range(6)]
    barrier, got = threading.Barrier(len(others)), []

    def ask(one: Work) -> None:
        barrier.wait()
        if one.hold_lease(3600):
            got.append(one.owner)

    _all_at_once([threading.Thread(target=ask, args=(one,)) for one in others])

    assert got == [bench.operations.executor()]


@pytest.mark.parametrize("kind", [Kind.REPLAY, Kind.DISCARD])
def test_executors_that_hand_the_lease_to_and_fro(bench: Bench, kind: Kind) -> None:
    """Each record is taken once, by one of them."""
    notes = bench.record(40)
    id = bench.start(kind)
    bench.work.release_lease()
    granted: list[str] = []

    def work(one: Work) -> None:
        while one.get(id).pending:
            if not one.hold_lease(3600):
                continue
            try:
                if kind is Kind.REPLAY:
                    granted.extend(claim.dead_id for claim in one.issue(id, 3, one.get(id).progress))
                else:
                    one.act(id)
            except LeaseLost:
                continue
            finally:
                one.release_lease()

    workers = [Work(bench.engine, name, bench.clock) for name in ("one", "two", "three")]
    _all_at_once([threading.Thread(target=work, args=(one,)) for one in workers])

    assert bench.counters(id) == bench.recount(id)
    if kind is Kind.REPLAY:
        assert Counter(granted) == Counter(note.dead_id for note in notes)
        assert len(rows(bench.engine, ReplayItemRow, operation_id=id)) == len(notes)
    else:
        assert bench.outcomes(id) == {("done", ""): len(notes)}


def _all_at_once(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
