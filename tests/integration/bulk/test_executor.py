"""The executor and a real broker; the test takes what arrives, and tells how it ended."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from kombu import Connection

from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.bulk.operation import Kind, Pace, Selector, State
from fluxora_tasks.deadletter.identity import DEAD_ID, REPLAY_NO, REPLAY_OP
from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.bulk.bench import ADA, Bench
from tests.integration.bulk.shop import MOST, Around, Shop, fails, succeeds
from tests.integration.ledger.brokers import QUEUE, declare
from tests.integration.ledger.conftest import HeldClock

pytestmark = pytest.mark.integration


def test_every_record_is_sent_once(shop: Shop) -> None:
    """With its number and its operation; it completes once every outcome is known."""
    notes = shop.bench.record(60)
    id = shop.bench.start(pace=Pace(rate=50, canary=10))

    operation = shop.until_over(id, succeeds)

    assert (operation.state, operation.succeeded, operation.known) == (State.COMPLETED, 60, 60)
    assert Counter(message.headers[DEAD_ID] for message in shop.taken) == Counter(note.dead_id for note in notes)
    assert {(message.headers[REPLAY_NO], message.headers[REPLAY_OP]) for message in shop.taken} == {(1, id)}
    assert shop.bench.ledger.status_counts()["RESOLVED"] == 60


def test_the_canary_is_awaited(shop: Shop) -> None:
    """Nothing more is sent before its outcomes are known."""
    shop.bench.record(100)
    id = shop.bench.start(pace=Pace(rate=1000, canary=10))

    for _ in range(10):
        shop.step(lambda message: None)
    assert len(shop.taken) == 10

    shop.bench.operations.cancel(id, ADA)


def test_a_cause_that_is_not_fixed(shop: Shop) -> None:
    """It stops by itself after the canary, says why, and leaves the rest alone."""
    shop.bench.record(100)
    id = shop.bench.start(pace=Pace(rate=1000, canary=10))

    operation = shop.until_over(id, fails)

    assert operation.state is State.ABORTED
    assert "cause not fixed" in operation.detail
    assert (len(shop.taken), operation.failed, operation.skipped) == (10, 10, 90)
    assert shop.bench.outcomes(id) == {("failed_again", "same"): 10, ("skipped", "aborted"): 90}
    assert shop.bench.trail(id)[-1] == ("operation_aborted", "running", "aborted")


@pytest.mark.parametrize("most", [1, 7])
def test_no_more_in_flight_than_allowed(shop: Shop, most: int) -> None:
    """However fast it may go; every second outcome comes a step late."""
    shop.bench.record(40)
    held: list[Any] = []

    def ends(message: Any) -> bool | None:
        held.append(message.headers)
        return None

    id = shop.bench.start(pace=Pace(rate=1000, canary=0, max_in_flight=most))
    for _ in range(MOST):
        shop.step(ends)
        assert shop.bench.operations.get(id).in_flight <= most
        while held:
            shop.answer(held.pop(), failed=False)
        if shop.bench.operations.get(id).is_over:
            break

    assert shop.bench.operations.get(id).succeeded == 40


@pytest.mark.parametrize("what", ["said_of_breaker", "said_of_queue"])
def test_it_holds_while_something_is_in_the_way(shop: Shop, what: str) -> None:
    """An open circuit, or a queue without a consumer: nothing is sent, it says why, and goes on by itself."""
    shop.bench.record(20)
    setattr(shop.around, what, "circuit prices is OPEN")
    id = shop.bench.start(pace=Pace(rate=1000, canary=0))

    for _ in range(3):
        shop.step(succeeds)
    held = shop.bench.operations.get(id)
    assert (held.state, held.held_by, shop.taken) == (State.PAUSED, "system", [])
    assert "circuit prices is OPEN" in held.hold

    setattr(shop.around, what, None)
    shop.bench.clock.advance(5)
    assert shop.until_over(id, succeeds).succeeded == 20
    states = [after for _, _, after in shop.bench.trail(id)]
    assert states == ["planned", "running", "paused", "running", "completed"]


def test_an_operator_cancels(shop: Shop) -> None:
    """What was sent is awaited, and nothing more is sent."""
    shop.bench.record(50)
    id = shop.bench.start(pace=Pace(rate=1000, canary=5))
    shop.step(lambda message: None)
    sent = len(shop.taken)
    shop.bench.operations.cancel(id, ADA)
    for headers in [message.headers for message in shop.taken]:
        shop.answer(headers, failed=False)

    operation = shop.until_over(id, succeeds)

    assert (operation.state, len(shop.taken)) == (State.CANCELLED, sent)
    assert shop.bench.outcomes(id) == {("succeeded", ""): sent, ("skipped", "cancelled"): 50 - sent}


def test_operations_side_by_side(shop: Shop) -> None:
    """Records that both want are sent by one of them; a discard goes on beside a replay."""
    shop.bench.record(30)
    shop.bench.record(10, name="old", queue="elsewhere")
    pace = Pace(rate=1000, canary=0)
    ids = [shop.bench.start(selector=Selector(filter="queue:demand"), pace=pace) for _ in range(2)]
    ids.append(shop.bench.start(Kind.DISCARD, Selector(filter="queue:elsewhere")))

    for id in ids:
        shop.until_over(id, succeeds)

    assert len(shop.taken) == 30
    assert Counter(message.headers[DEAD_ID] for message in shop.taken).most_common(1)[0][1] == 1
    assert shop.bench.ledger.status_counts() | {"RESOLVED": 30, "DISCARDED": 10} == shop.bench.ledger.status_counts()


def test_a_queue_that_does_not_exist(vhost_url: str, tmp_path: Any, clock: HeldClock, around: Around) -> None:
    """RabbitMQ hands the messages back: they count as not published, and the records are as before."""
    engine = open_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    upgrade(engine)
    bench = Bench(engine, Ledger(engine, clock=clock), clock)
    bench.record(3)
    executor = Executor(bench.ledger, bench.work, lambda: Connection(vhost_url), around, clock=clock)
    shop = Shop(bench, vhost_url, executor, around)
    declare(vhost_url, "another")
    id = bench.start(pace=Pace(rate=1000, canary=0))

    for _ in range(MOST):
        executor.step()
        clock.advance(0.3)
        if bench.operations.get(id).is_over:
            break

    assert bench.outcomes(id) == {("publish_failed", ""): 3}
    assert bench.ledger.status_counts()["PENDING"] == 3
    assert f"{QUEUE!r} does not exist" in bench.items(id)[0]["detail"]
    shop.executor.close()
    engine.dispose()


def test_a_broker_that_is_away(tmp_path: Any, clock: HeldClock, around: Around) -> None:
    """What was claimed stays claimed for the sweep; the operation holds and says what it waits for."""
    engine = open_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    upgrade(engine)
    bench = Bench(engine, Ledger(engine, clock=clock), clock)
    bench.record(3)
    nowhere = "amqp://guest:secret@127.0.0.1:1//"
    executor = Executor(bench.ledger, bench.work, lambda: Connection(nowhere, connect_timeout=1), around, clock=clock)
    id = bench.start(pace=Pace(rate=1000, canary=0))

    executor.step()

    operation = bench.operations.get(id)
    assert operation.hold.startswith("broker away")
    assert "secret" not in operation.hold
    assert bench.counters(id) == bench.recount(id)
    executor.close()
    engine.dispose()


def test_a_ledger_that_is_away(shop: Shop) -> None:
    """The step says so, nothing is lost, and the next one goes on."""
    shop.bench.record(20)
    id = shop.bench.start(pace=Pace(rate=1000, canary=0))
    with shop.bench.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE replay_items RENAME TO replay_items_away")

    with pytest.raises(LedgerUnavailable):
        shop.executor.step()

    with shop.bench.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE replay_items_away RENAME TO replay_items")
    assert shop.until_over(id, succeeds).succeeded == 20


def test_clocks_of_executors_differ(shop: Shop) -> None:
    """Another one takes over whose clock is an hour behind: it goes on."""
    shop.bench.record(30)
    id = shop.bench.start(pace=Pace(rate=10, canary=0))
    shop.step(succeeds)
    shop.bench.clock.advance(-3600)

    assert shop.until_over(id, succeeds).succeeded == 30
