"""A recorder, an executor and an operator, killed before each of their steps: nothing is lost, nothing runs twice."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from sqlalchemy import Engine

from fluxora_tasks.bulk.operation import Kind, Pace, Selector
from fluxora_tasks.bulk.store import Operations
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.topology import is_amqp
from fluxora_tasks.install import install
from fluxora_tasks.ledger import replay
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.models import (
    AuditEventRow,
    DeadLetterRow,
    FailedImportRow,
    OperationItemRow,
    OutboxRow,
    ReplayItemRow,
)
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from fluxora_tasks.settings import Settings
from tests.acceptance import killing
from tests.acceptance.killing import DEAD, Place, executor_of, recorder_of
from tests.integration.ledger.brokers import put
from tests.integration.ledger.reading import counted, recounted, rows
from tests.integration.ledger.test_recorder import declare_dead, publish
from tests.letters import letter, success
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration, pytest.mark.chaos]

APP = "tests.acceptance.failing_app"
ADA = Actor("ada", "mended")
ALIKE = Fingerprint("frame", ("at=demand.ingest:parse",))
_LONG = os.environ.get("FLUXORA_TEST_CHAOS") == "long"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([killing.__name__])


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("database_url"))


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    engine = open_engine(ledger_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def place(broker_url: str, ledger_url: str, engine: Engine) -> Place:
    return Place(broker_url, ledger_url)


def steps_of(target: Callable[..., None], place: Place, before: int, is_done: Callable[[], bool]) -> list[str] | None:
    """Run it until there is nothing left to do, or it is killed: the steps it took, or nothing."""
    stop, steps = _context.Event(), _context.SimpleQueue()
    process = _context.Process(target=target, args=(place, before, stop, steps))
    process.start()
    wait_until(lambda: process.exitcode is not None or is_done(), 30, "an end")
    stop.set()
    return _end(process, steps)


def _end(process: Any, steps: Any) -> list[str] | None:
    taken = steps.get() if _is_left(process, steps) else None
    process.join(20)
    assert process.exitcode == (-9 if taken is None else 0)
    return taken


def _is_left(process: Any, steps: Any) -> bool:
    wait_until(lambda: process.exitcode is not None or not steps.empty(), 30, "an end")
    return not steps.empty()


@contextmanager
def beside(run: Callable[[threading.Event], None]) -> Iterator[None]:
    """Something that is not killed, in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def chosen(steps: list[str], *, every: int) -> range:
    """The steps to kill before: each in the long form, else some, but not the same ones each time."""
    return range(1, len(steps) + 1) if _LONG else range(1 + os.getpid() % every, len(steps) + 1, every)


# --------------------------------------------------------------------------------------------------- ingest


def is_empty(url: str) -> bool:
    """Whether nobody has yet to take anything from the dead-letter queue; what is held does not count on AMQP."""
    with Connection(url) as connection:
        channel = connection.default_channel
        if is_amqp(connection):
            return bool(channel.queue_declare(DEAD, passive=True).message_count == 0)
        return channel.client.llen(DEAD) == channel.client.hlen("fluxora.recorder.unacked") == 0


def test_a_recorder(place: Place, engine: Engine) -> None:
    """Each failure becomes one record, each outcome counts once, what nobody can read is parked; each is told once."""
    declare_dead(place.broker_url)
    ledger = Ledger(engine)

    def arrive(number: int) -> None:
        dead = [letter(f"{name}{number}", at=number, fingerprint=ALIKE) for name in "abc"]
        ledger.ingest(dead[2:])
        ledger.claim([dead[2].dead_id], ADA)
        publish(place.broker_url, *dead[:2], success(dead[2], 1))
        put(place.broker_url, DEAD, b"unreadable %d" % number, content_type="text/plain")

    arrive(0)
    steps = steps_of(killing.record, place, 0, lambda: is_empty(place.broker_url))
    assert steps is not None
    rounds = [0, *chosen(steps, every=4)]
    for number in rounds[1:]:
        arrive(number)
        steps_of(killing.record, place, number, lambda: is_empty(place.broker_url))
    wanted = {"PENDING": 2 * len(rounds), "RESOLVED": len(rounds)}
    unreadable = {b"unreadable %d" % number for number in rounds}
    with beside(recorder_of(place, ledger, sweep=lambda: None).run):
        # what a recorder holds is in no queue of AMQP any more, and may not be parked yet
        wait_until(lambda: statuses(engine) == wanted and parked(engine) == unreadable, 30, f"{wanted}")
        wait_until(lambda: is_empty(place.broker_url), 30, "an empty queue")

    assert all(row["failures"] == 1 for row in rows(engine, DeadLetterRow))
    told = Counter(
        (row["dead_letter_id"], row["event"]) for row in rows(engine, AuditEventRow) if row["dead_letter_id"]
    )
    assert set(told.values()) == {1}
    assert len(told) == len(rounds) * (3 + 2)
    events = Counter((row["subject"], row["event"]) for row in rows(engine, OutboxRow))
    assert set(events.values()) == {1}
    assert counted(engine) == recounted(engine)
    print(f"killed before {len(rounds) - 1} of {len(steps)} steps: {sorted(set(steps))}")


def parked(engine: Engine) -> set[bytes]:
    """What could not become a record."""
    return {row["body"] for row in rows(engine, FailedImportRow)}


def statuses(engine: Engine) -> dict[str, int]:
    """Records by status."""
    return dict(Counter(str(row["status"]) for row in rows(engine, DeadLetterRow)))


# --------------------------------------------------------------------------------------------------- replay


@dataclass
class Bench:
    """A worker whose tasks fail until they are repaired, somebody who sends, and a recorder that is not killed."""

    place: Place
    engine: Engine
    client: Celery
    path: Path

    def make_dead(self, numbers: range) -> list[str]:
        """Ids of new records, one for each number."""
        before = {row["id"] for row in rows(self.engine, DeadLetterRow)}
        for number in numbers:
            self.client.send_task("numbered", args=(str(self.path), number))
        wait_until(lambda: len(rows(self.engine, DeadLetterRow)) == len(before) + len(numbers), what="dead letters")
        return [row["id"] for row in rows(self.engine, DeadLetterRow) if row["id"] not in before]

    @contextmanager
    def repaired(self) -> Iterator[None]:
        """While tasks succeed."""
        self.path.touch()
        yield
        self.path.unlink()

    def successes(self) -> Counter[tuple[int, int]]:
        """Runs that succeeded, by number of the message and of the replay."""
        lines = Path(f"{self.path}.succeeded").read_text().splitlines()
        return Counter((int(line.split()[0]), int(line.split()[1])) for line in lines)


@pytest.fixture
def bench(
    place: Place, engine: Engine, store: StoreServer, celery_processes: CeleryProcesses, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:  # fmt: skip
    urls = {"broker_url": place.broker_url, "redis_url": store.state_url(2), "ledger_url": place.ledger_url}
    celery_processes.worker(APP, {f"FLUXORA_{name.upper()}": url for name, url in urls.items()})
    client = Celery("client")
    install(client, Settings(**urls))
    monkeypatch.setattr(replay, "ABANDONED_AFTER", 0.5)
    with beside(recorder_of(place, Ledger(engine), sweep_every=0.2).run):
        yield Bench(place, engine, client, tmp_path / "repaired")
    client.close()


on_sqlite = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


@on_sqlite
def test_an_executor(bench: Bench) -> None:
    """The next one goes on by itself: each record succeeds once, and the counters are those of the items."""
    operations = Operations(bench.engine)
    first = bench.make_dead(range(3))
    with bench.repaired():
        steps = _executed(bench, _started(operations, first), 0)
    assert steps is not None
    places = chosen(steps, every=16)
    ids = bench.make_dead(range(3, 3 + 3 * len(places)))
    with bench.repaired():
        for turn, before in enumerate(places):
            current = _started(operations, ids[3 * turn : 3 * turn + 3])
            _executed(bench, current, before)
            with beside(executor_of(bench.place, f"next-{before}").run):
                _await_end(operations, current)
            operation = operations.get(current)
            assert (operation.state, operation.succeeded) == ("completed", 3), (before, steps[before - 1], operation)
            items = Counter(row["outcome"] for row in rows(bench.engine, OperationItemRow, operation_id=current))
            assert items == {"succeeded": 3}

    assert statuses(bench.engine) == {"RESOLVED": 3 + 3 * len(places)}
    assert rows(bench.engine, ReplayItemRow, active=True) == []
    assert bench.successes() == dict.fromkeys(((number, 1) for number in range(3 + 3 * len(places))), 1)
    print(f"killed before {len(places)} of {len(steps)} steps: {sorted(set(steps))}")


def _started(operations: Operations, ids: list[str]) -> str:
    """A bulk replay of these, without a canary."""
    planned = operations.plan(Kind.REPLAY, Selector(ids=tuple(ids)), Pace(rate=1000, canary=0), ADA)
    return operations.start(planned.id, ADA).id


def _executed(bench: Bench, operation: str, before: int) -> list[str] | None:
    operations = Operations(bench.engine)
    return steps_of(killing.execute, bench.place, before, lambda: operations.get(operation).is_over)


def _await_end(operations: Operations, operation: str) -> None:
    wait_until(lambda: operations.get(operation).is_over, 30, f"the end of {operations.get(operation)}")


@on_sqlite
def test_an_operator(bench: Bench) -> None:
    """What was claimed is sent by a recorder, once; what was not stays as it was."""
    (first,) = bench.make_dead(range(1))
    with bench.repaired():
        steps = _replayed(bench.place, 0, first)
    assert steps is not None
    places = chosen(steps, every=3)
    ids = bench.make_dead(range(1, 1 + len(places)))
    with bench.repaired():
        for before, dead_id in zip(places, ids, strict=True):
            assert _replayed(bench.place, before, dead_id) is None
        wait_until(lambda: "RETRYING" not in statuses(bench.engine), 30, "an end of every replay")
        assert rows(bench.engine, ReplayItemRow, active=True) == []

    replayed = [row for row in rows(bench.engine, DeadLetterRow) if row["replay_no"]]
    assert {row["status"] for row in replayed} == {"RESOLVED"}
    assert 0 < len(replayed) < 1 + len(places)
    assert sum(bench.successes().values()) == len(replayed)
    assert {(count, number) for (_, number), count in bench.successes().items()} == {(1, 1)}
    print(f"killed before {len(places)} of {len(steps)} steps, {len(replayed) - 1} were sent: {steps}")


def _replayed(place: Place, before: int, dead_id: str) -> list[str] | None:
    steps = _context.SimpleQueue()
    process = _context.Process(target=killing.replay, args=(place, before, dead_id, steps))
    process.start()
    return _end(process, steps)
