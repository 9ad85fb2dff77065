"""An executor dies before a statement or a commit, with messages under way to a real broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.bulk.operation import Pace, Selector, State
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.deadletter.identity import DEAD_ID, PUBLISH_ID, REPLAY_NO
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.models import ReplayItemRow
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.bulk.bench import ADA, Bench
from tests.integration.bulk.shop import Around
from tests.integration.bulk.test_crashes import Crash, crashing
from tests.integration.ledger.brokers import declare, take
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import rows
from tests.letters import success

pytestmark = pytest.mark.integration

#: Records of each operation, and steps in which it is over.
RECORDS = 2
MOST = 50


class Yard:
    """Executors that follow one another, a recorder's sweep, and workers that run the first copy of a replay."""

    def __init__(self, bench: Bench, url: str) -> None:
        self.bench, self.url = bench, url
        self.copies: list[dict[str, Any]] = []

    def executor(self, name: str) -> Executor:
        """The next one, with the lease."""
        self.bench.work.release_lease()
        self.bench.work = Work(self.bench.engine, name, self.bench.clock)
        return Executor(
            self.bench.ledger, self.bench.work, lambda: Connection(self.url), Around(), clock=self.bench.clock
        )

    def work(self) -> None:
        """Workers take what has arrived; of two copies they run the first."""
        for message in take(self.url):
            headers = message.headers
            ran = {(copy[DEAD_ID], copy[REPLAY_NO]) for copy in self.copies}
            self.copies.append(headers)
            if (headers[DEAD_ID], headers[REPLAY_NO]) not in ran:
                self.bench.ledger.ingest([success(self.bench.by_id[headers[DEAD_ID]], headers[REPLAY_NO])])

    def sweep(self) -> None:
        """The recorder publishes abandoned claims again."""
        self.bench.clock.advance(31)
        with Replayer(lambda: Connection(self.url), self.bench.ledger) as replayer:
            replayer.sweep()

    def is_over(self, id: str) -> bool:
        return self.bench.operations.get(id).is_over


@pytest.fixture
def yard(tmp_path: Path, clock: HeldClock, broker_url: str) -> Iterator[Yard]:
    engine = open_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    upgrade(engine)
    declare(broker_url)
    yield Yard(Bench(engine, Ledger(engine, clock=clock), clock), broker_url)
    engine.dispose()


def test_the_next_one_goes_on(yard: Yard) -> None:
    """Each message is sent under one number, at most once again by the sweep, and each record has its outcome."""
    # every other step: the other ones are with the other broker
    bench, at, reached = yard.bench, int(yard.url.startswith("amqp")) - 1, True
    while reached:
        at += 2
        notes = bench.record(RECORDS, name=f"x{at}-", task=f"demand.{at}")
        planned = bench.plan(selector=Selector(filter=f"task:demand.{at}"), pace=Pace(rate=1000, canary=1))
        id = bench.operations.start(planned.id, ADA).id

        reached = _dies(yard, id, at)
        _goes_on(yard, id, at)

        operation = bench.operations.get(id)
        assert (operation.state, operation.succeeded) == (State.COMPLETED, RECORDS), at
        assert bench.counters(id) == bench.recount(id)
        assert len(rows(bench.engine, ReplayItemRow, operation_id=id)) == RECORDS
        copies = [copy for copy in yard.copies if copy[DEAD_ID] in {note.dead_id for note in notes}]
        assert {copy[REPLAY_NO] for copy in copies} == {1}
        assert max(Counter(copy[DEAD_ID] for copy in copies).values()) <= 2
        assert len({copy[PUBLISH_ID] for copy in copies}) == len(copies)
    assert rows(bench.engine, ReplayItemRow, active=True) == []
    assert at > 20


def _dies(yard: Yard, id: str, at: int) -> bool:
    """Before its ``at``-th statement or commit; returns whether there was one."""
    executor = yard.executor(f"first-{at}")
    try:
        _step_until_crash(yard, executor, id, at)
    except Crash:
        return True
    finally:
        executor.close()
    return False


def _step_until_crash(yard: Yard, executor: Executor, id: str, at: int) -> None:
    while not yard.is_over(id):
        with crashing(yard.bench.engine, at) as seen:
            executor.step()
        at -= seen[0]
        yard.work()
        yard.bench.clock.advance(0.3)


def _goes_on(yard: Yard, id: str, at: int) -> None:
    executor = yard.executor(f"second-{at}")
    yard.sweep()
    for _ in range(MOST):
        if yard.is_over(id):
            break
        executor.step()
        yard.work()
        yard.bench.clock.advance(0.3)
    executor.close()
