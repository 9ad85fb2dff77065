"""The executor waits, and goes on: for outcomes, an operator, a ledger that is away, another executor."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection
from sqlalchemy import Engine, create_engine, text, update

from fluxora_tasks.bulk import executor as executors
from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.bulk.operation import Pace, State
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.deadletter.identity import DEAD_ID
from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.ledger import replay
from fluxora_tasks.ledger.database import writing
from fluxora_tasks.ledger.models import OperationRow
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.bulk.bench import ADA, Bench, same
from tests.integration.bulk.shop import Around, Shop, succeeds
from tests.integration.ledger.brokers import declare, take
from tests.servers import PostgresServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

AT_ONCE = Pace(rate=1000, canary=0)


def silent(message: Any) -> None:
    """Nobody is heard."""


# ------------------------------------------------------------------------------------------------ outcomes


def test_a_canary_that_nobody_heard_of_tells_nothing(shop: Shop) -> None:
    """Unconfirmed is no outcome: no more is sent until there is one, and it says what it waits for."""
    shop.bench.record(40)
    id = shop.bench.start(pace=Pace(rate=1000, canary=5))
    for _ in range(8):
        shop.step(silent)
    assert len(shop.taken) == 5

    shop.bench.clock.advance(1000)
    assert shop.bench.ledger.flag_unconfirmed(after=900) == 5
    for _ in range(8):
        shop.step(silent)

    held = shop.bench.operations.get(id)
    assert (held.state, held.held_by, held.unconfirmed, len(shop.taken)) == (State.PAUSED, "system", 5, 5)
    assert "is a worker running?" in held.hold

    shop.answer(shop.taken[0].headers, failed=False)
    operation = shop.until_over(id, succeeds)
    assert (operation.state, operation.succeeded, operation.unconfirmed) == (State.COMPLETED, 36, 4)


def test_it_waits_for_an_outcome(shop: Shop) -> None:
    """Where none came for long, of messages that are awaited; it goes on with the first one."""
    shop.bench.record(40)
    id = shop.bench.start(pace=Pace(rate=1000, canary=0, max_in_flight=5))
    for _ in range(3):
        shop.step(silent)
    shop.bench.clock.advance(901)
    for _ in range(2):
        shop.step(silent)

    held = shop.bench.operations.get(id)
    assert (held.state, len(shop.taken)) == (State.PAUSED, 5)
    assert held.hold == "no outcome for 15 min of 5 messages; is a worker running?"

    for message in list(shop.taken):
        shop.answer(message.headers, failed=False)
    assert shop.until_over(id, succeeds).succeeded == 40


def test_silent_workers_are_not_sent_more_and_more(shop: Shop) -> None:
    """When nobody was heard of for long, one message asks whether somebody is there again."""
    shop.bench.record(40)
    id = shop.bench.start(pace=Pace(rate=1000, canary=0, max_in_flight=5))
    sent = []
    for _ in range(3):
        for _ in range(4):
            shop.step(silent)
        sent.append(len(shop.taken))
        shop.bench.clock.advance(1000)
        shop.bench.ledger.flag_unconfirmed(after=900)
    assert sent == [5, 6, 7]

    operation = shop.until_over(id, succeeds)
    assert (operation.state, operation.succeeded, operation.unconfirmed) == (State.COMPLETED, 33, 7)


def test_too_many_failures_of_different_causes(shop: Shop) -> None:
    """It stops by itself; the rest is left alone."""
    shop.bench.record(200)
    id = shop.bench.start(pace=Pace(rate=1000, canary=5, max_in_flight=20))
    numbers = iter(range(1000))

    def sometimes(message: Any) -> bool | None:
        number = next(numbers)
        if number < 5 or number % 2:
            return False
        shop.answer(message.headers, failed=True, fingerprint=same(number + 2))
        return None

    operation = shop.until_over(id, sometimes)

    assert operation.state is State.ABORTED
    assert operation.detail.endswith("outcomes failed; 20% are allowed")
    assert operation.skipped >= 100
    outcomes = shop.bench.outcomes(id)
    assert outcomes["failed_again", "new"] == operation.failed == operation.issued - operation.succeeded


def test_outcomes_after_the_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation had ended without them; they are learned all the same, and it stays ended."""
    monkeypatch.setattr(executors, "_LATE", 0.0)
    shop.bench.record(3)
    id = shop.bench.start(pace=AT_ONCE)
    while len(shop.taken) < 3:
        shop.step(silent)
    shop.bench.clock.advance(1000)
    shop.bench.ledger.flag_unconfirmed(after=900)
    ended = shop.until_over(id, silent)
    assert (ended.state, ended.unconfirmed) == (State.COMPLETED, 3)

    for message in shop.taken[:2]:
        shop.answer(message.headers, failed=False)
    shop.answer(shop.taken[2].headers, failed=True)
    shop.step(silent)

    assert shop.bench.outcomes(id) == {("succeeded", ""): 2, ("failed_again", "same"): 1}
    assert shop.bench.counters(id) == shop.bench.recount(id)
    assert shop.bench.operations.get(id).ended_at == ended.ended_at


# ------------------------------------------------------------------------------------- operator and ledger


def test_an_operator_pauses(shop: Shop) -> None:
    """Outcomes are learned, nothing is sent; it is the operator's pause until it is resumed."""
    shop.bench.record(30)
    id = shop.bench.start(pace=Pace(rate=1000, canary=5))
    shop.step(succeeds)
    sent = len(shop.taken)
    shop.bench.operations.pause(id, ADA)
    shop.around.said_of_queue = "no worker consumes the queue"
    for _ in range(5):
        shop.step(succeeds)

    held = shop.bench.operations.get(id)
    assert (held.state, held.held_by, held.hold) == (State.PAUSED, "operator", ADA.reason)
    assert (len(shop.taken), held.known) == (sent, sent)

    shop.around.said_of_queue = None
    shop.bench.operations.resume(id, ADA)
    assert shop.until_over(id, succeeds).succeeded == 30


def test_a_paused_operation_ends_where_nothing_is_left(shop: Shop) -> None:
    """The last outcome comes while an operator holds it."""
    shop.bench.record(3)
    id = shop.bench.start(pace=AT_ONCE)
    shop.step(silent)
    while len(shop.taken) < 3:
        shop.step(silent)
    shop.bench.operations.pause(id, ADA)
    for message in shop.taken:
        shop.answer(message.headers, failed=False)

    assert shop.until_over(id, succeeds).state is State.COMPLETED


def test_it_waits_for_a_ledger_that_lags(shop: Shop) -> None:
    """And says by how much."""
    shop.bench.record(5)
    id = shop.bench.start(pace=AT_ONCE)
    shop.around.behind = 75.0
    shop.step(succeeds)
    shop.around.behind = 80.0
    shop.step(succeeds)

    held = shop.bench.operations.get(id)
    assert (held.state, held.hold) == (State.PAUSED, "the ledger lags 80 s behind; 60 s are allowed")
    assert shop.bench.events(id).count("operation.paused") == 1

    shop.around.behind = 0.0
    assert shop.until_over(id, succeeds).succeeded == 5


def test_a_filter_that_this_release_does_not_know(shop: Shop) -> None:
    """That operation stops and says why; the others go on."""
    shop.bench.record(3)
    broken = shop.bench.operations.start(shop.bench.plan(pace=AT_ONCE).id, ADA).id
    whole = shop.bench.operations.start(shop.bench.plan(pace=AT_ONCE).id, ADA).id
    with writing(shop.bench.engine) as connection:
        of_it = OperationRow.id == broken
        connection.execute(update(OperationRow).where(of_it).values(selector='{"filter":"colour:red"}'))

    assert shop.until_over(whole, succeeds).succeeded == 3

    stopped = shop.until_over(broken, succeeds)
    assert (stopped.state, stopped.total) == (State.ABORTED, 0)
    assert stopped.detail.startswith("it cannot go on: ")
    assert "colour" in stopped.detail


# -------------------------------------------------------------------------- executors at work, by their clocks


class Site:
    """Executors in threads over PostgreSQL and Redis, with workers that answer at once."""

    def __init__(self, bench: Bench, url: str) -> None:
        self.bench, self.url = bench, url
        self.shop = Shop(bench, url, self.executor("unused"), Around())

    def executor(self, name: str) -> Executor:
        """One that has the wall clock's time, and a lease of its own name."""
        work = Work(self.bench.engine, name)
        return Executor(Ledger(self.bench.engine), work, lambda: Connection(self.url), Around())

    @contextmanager
    def running(self, *names: str) -> Iterator[Callable[[str], None]]:
        """Executors at work; yields what ends one."""
        stops = {name: threading.Event() for name in names}
        threads = {name: threading.Thread(target=self.executor(name).run, args=(stop,)) for name, stop in stops.items()}

        def end(name: str) -> None:
            stops[name].set()
            threads[name].join(30)
            assert not threads[name].is_alive()

        for thread in threads.values():
            thread.start()
        try:
            yield end
        finally:
            for name in names:
                end(name)

    def work(self) -> None:
        """Workers run what has arrived."""
        for message in take(self.url):
            self.shop.taken.append(message)
            self.shop.answer(message.headers, failed=False)

    def sweep(self) -> None:
        """A recorder publishes again what was claimed and not marked."""
        with Replayer(lambda: Connection(self.url), Ledger(self.bench.engine)) as replayer:
            replayer.sweep()

    def sent(self) -> Counter[str]:
        """Copies that arrived, by record."""
        return Counter(message.headers[DEAD_ID] for message in self.shop.taken)


@pytest.fixture
def site(database_url: str, store_url: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(executors, "_STANDBY", 0.05)
    monkeypatch.setattr(executors, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(replay, "ABANDONED_AFTER", 0.0)
    declare(store_url)
    bench.work.release_lease()
    return Site(bench, store_url)


on_postgresql = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


@on_postgresql
def test_another_one_takes_over_at_once(site: Site) -> None:
    """An executor that ends gives its lease back; each message is sent once, by one of them."""
    notes = site.bench.record(60)
    id = site.bench.operations.start(site.bench.plan(pace=Pace(rate=200, canary=0)).id, ADA).id

    def is_over() -> bool:
        site.work()
        return site.bench.operations.get(id).is_over

    with site.running("one", "two") as end:
        wait_until(lambda: site.bench.operations.get(id).issued > 5, 30, "the first messages")
        first = site.bench.operations.executor()
        assert first in ("one", "two")
        end(first)
        wait_until(is_over, 30, "the end of it")
        assert site.bench.operations.executor() not in (None, first)

    assert site.sent() == Counter(note.dead_id for note in notes)
    assert site.bench.counters(id) == site.bench.recount(id)
    assert site.bench.operations.executor() is None


@on_postgresql
def test_the_ledger_goes_away_and_comes_back(site: Site, postgres: PostgresServer) -> None:
    """It is waited for, and the operation goes on where it was; nothing is sent twice but by the sweep."""
    notes = site.bench.record(60)
    id = site.bench.operations.start(site.bench.plan(pace=Pace(rate=50, canary=0, ramp=False)).id, ADA).id

    def is_over() -> bool:
        site.work()
        return site.bench.operations.get(id).is_over

    with site.running("one"):
        wait_until(lambda: site.bench.operations.get(id).issued > 5, 30, "the first messages")
        with away(postgres, site.bench.engine):
            with pytest.raises(LedgerUnavailable):
                site.bench.operations.get(id)
            with pytest.raises(LedgerUnavailable):
                site.executor("two").step()
        wait_until(lambda: site.bench.operations.get(id).pending == 0, 30, "the last message")
        site.sweep()
        wait_until(is_over, 30, "the end of it")

    assert site.sent().keys() == {note.dead_id for note in notes}
    assert max(site.sent().values()) <= 2
    operation = site.bench.operations.get(id)
    assert (operation.state, operation.succeeded) == (State.COMPLETED, 60)
    assert site.bench.counters(id) == site.bench.recount(id)


@contextmanager
def away(postgres: PostgresServer, engine: Engine) -> Iterator[None]:
    """A database that ends its connections and takes no new ones."""
    name = engine.url.database
    admin = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false'))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        try:
            yield
        finally:
            connection.execute(text(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true'))
    admin.dispose()
