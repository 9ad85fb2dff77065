"""The dead-letter queue into the ledger: everything arrives, whatever is away meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from fluxora_tasks.deadletter.envelope import (
    CONFIRMATION_TYPE,
    DEAD_LETTER_TYPE,
    Confirmation,
    DeadLetter,
    Payload,
    content_type_of,
    encode,
)
from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp, recorder_transport_options
from fluxora_tasks.devstack.embedded import EmbeddedStore
from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.ledger.ingest import IngestReport
from fluxora_tasks.ledger.recorder import Recorder
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.brokers import QUEUE, channel_of, count, declare, put, put_all, take
from tests.integration.ledger.conftest import HeldClock
from tests.letters import letter, success
from tests.servers import server_directory
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

DEAD = "fluxora.dead"

Note = DeadLetter | Confirmation


def publish(url: str, *notes: Note) -> None:
    """Send notes to the dead-letter queue."""
    put_all(
        url,
        DEAD,
        [(encode(note), {"content_type": content_type_of(note), "content_encoding": "utf-8"}) for note in notes],
    )


def declare_dead(url: str) -> None:
    """Make the dead-letter queue, as workers and recorder do."""
    with Connection(url) as connection:
        dead_letter_queue(DEAD, DEAD, amqp=is_amqp(connection))(connection.default_channel).declare()


@contextmanager
def recording(url: str, ledger: Any, **options: Any) -> Iterator[threading.Event]:
    """A recorder at work; it has ended, without a fault, when the block is left."""
    template = Connection(url, connect_timeout=2)
    amqp = is_amqp(template)
    connection = template.clone(transport_options=recorder_transport_options({}, amqp=amqp))
    options = {"sweep": lambda: None, **options}
    recorder = Recorder(connection, dead_letter_queue(DEAD, DEAD, amqp=amqp), ledger, **options)
    stop, faults = threading.Event(), []

    def run() -> None:
        try:
            recorder.run(stop)
        except BaseException as exc:
            faults.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
    assert faults == []


def total(ledger: Ledger) -> int:
    """Records in the ledger."""
    return ledger.find(limit=1).total


def await_total(ledger: Ledger, number: int) -> None:
    """Until so many records are there."""
    wait_until(lambda: total(ledger) == number, what=f"{number} records")


class FlakyLedger:
    """A ledger that is away until told otherwise."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away = threading.Event()
        self.asked = 0

    def ingest(self, notes: Sequence[Note]) -> IngestReport:
        """As the ledger, if it is there."""
        self.asked += 1
        if self.away.is_set():
            raise LedgerUnavailable("the ledger sqlite:///x cannot be used: gone")
        return self._ledger.ingest(notes)

    def park(self, payload: Payload, error: str) -> None:
        """As the ledger."""
        self._ledger.park(payload, error)


def test_notes_become_records(desk: Ledger, broker_url: str) -> None:
    """Failures and successes are recorded in order, acknowledged, and their messages told."""
    declare_dead(broker_url)
    told: list[str] = []
    notes = [letter(f"m{number}", at=number) for number in range(250)]
    publish(broker_url, *notes, success(notes[0], 0))

    with recording(broker_url, desk, on_recorded=told.extend):
        await_total(desk, 250)
        wait_until(lambda: desk.status_counts()["RESOLVED"] == 1, what="the success")

    assert sorted(told) == sorted(note.message_id for note in notes)
    assert take(broker_url, DEAD) == []


def test_a_note_is_recorded_within_a_moment(desk: Ledger, broker_url: str) -> None:
    """A recorder that waits records the next note long before anyone would ask for it."""
    declare_dead(broker_url)
    publish(broker_url, letter("m1"))
    with recording(broker_url, desk):
        await_total(desk, 1)
        publish(broker_url, letter("m2"))
        wait_until(lambda: total(desk) == 2, limit=2, what="the second record")


def test_the_queue_is_declared_if_missing(desk: Ledger, vhost_url: str) -> None:
    """A recorder may come before any worker."""
    with recording(vhost_url, desk):
        wait_until(lambda: _exists(vhost_url, DEAD), what="the queue")
        publish(vhost_url, letter())
        await_total(desk, 1)


def _exists(url: str, name: str) -> bool:
    with Connection(url) as connection:
        try:
            connection.default_channel.queue_declare(name, passive=True)
        except connection.channel_errors:
            return False
        return True


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x80\x04garbage", {"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
        (b"not json", {"content_type": DEAD_LETTER_TYPE, "content_encoding": "utf-8"}),
        (b'{"v": 99}', {"content_type": DEAD_LETTER_TYPE, "content_encoding": "utf-8"}),
        (b'{"v": 1}', {"content_type": CONFIRMATION_TYPE, "content_encoding": "utf-8"}),
        (b"[" * 100_000, {"content_type": DEAD_LETTER_TYPE, "content_encoding": "utf-8"}),
        (b"[]", {"content_type": "application/json", "content_encoding": "no such encoding"}),
        (b"", {}),
        (b"\xff", {"headers": {"compression": "application/x-gzip"}}),
    ],
)
def test_what_it_cannot_read_is_parked(desk: Ledger, broker_url: str, body: bytes, message: dict[str, Any]) -> None:
    """A message that is no note is kept with its bytes, and stops no other."""
    declare_dead(broker_url)
    put(broker_url, DEAD, body, **message)
    publish(broker_url, letter())

    with recording(broker_url, desk):
        await_total(desk, 1)
        wait_until(lambda: desk.failed_import_count() == 1, what="the parked message")
        wait_until(lambda: count(broker_url, DEAD) == 0, what="an empty queue")

    assert take(broker_url, DEAD) == []


def test_what_the_broker_dead_lettered(desk: Ledger, vhost_url: str) -> None:
    """A message that RabbitMQ itself dead-letters becomes a record, and its replay the same message."""
    declare_dead(vhost_url)
    with Connection(vhost_url) as connection:
        channel = connection.default_channel
        Exchange(DEAD, type="direct", durable=True)(channel).declare()
        arguments = {"x-dead-letter-exchange": DEAD, "x-dead-letter-routing-key": DEAD}
        Queue("limited", durable=True, queue_arguments=arguments)(channel).declare()
    body = bytes(range(256))
    put(
        vhost_url,
        "limited",
        body,
        content_type="application/data",
        content_encoding="binary",
        headers={"id": "t1", "task": "demand.ingest"},
    )
    with channel_of(vhost_url) as channel:
        channel.basic_reject(channel.basic_get("limited").delivery_tag, requeue=False)

    with recording(vhost_url, desk):
        await_total(desk, 1)

    (row,) = desk.find().letters
    assert (row.kind, row.queue, row.task_id, row.attempts) == ("broker_dlq", "limited", "t1", 0)
    assert row.message.startswith("rejected: ")
    story = desk.story(row.id)
    assert story is not None
    assert story.payload.body == body
    claim = desk.claim([row.id], Actor("ada", "x"))[0].claim
    assert claim is not None
    assert [name for name in claim.payload.headers if name.startswith("x-")] == []


def test_the_ledger_may_go_and_come(desk: Ledger, broker_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """While the ledger is away notes stay with the broker; one line says it went, one that it came."""
    declare_dead(broker_url)
    caplog.set_level(logging.WARNING, "fluxora_tasks.ledger.recorder")
    flaky = FlakyLedger(desk)
    flaky.away.set()
    publish(broker_url, *(letter(f"m{number}") for number in range(20)))

    with recording(broker_url, flaky):
        wait_until(lambda: flaky.asked >= 2, what="a second try")
        assert total(desk) == 0
        flaky.away.clear()
        await_total(desk, 20)

    assert take(broker_url, DEAD) == []
    lines = [record.getMessage() for record in caplog.records]
    assert sum("ledger_away" in line for line in lines) == 1
    assert sum("ledger_back" in line for line in lines) == 1


def test_it_stops_while_the_ledger_is_away(desk: Ledger, broker_url: str) -> None:
    """A recorder that is told to stop gives back what it could not store."""
    declare_dead(broker_url)
    flaky = FlakyLedger(desk)
    flaky.away.set()
    publish(broker_url, letter("m1"), letter("m2"))
    with recording(broker_url, flaky):
        wait_until(lambda: flaky.asked, what="a first try")

    with recording(broker_url, desk):
        await_total(desk, 2)


def test_a_crash_before_the_acknowledgement_makes_no_second_record(desk: Ledger, broker_url: str) -> None:
    """Notes that were stored but not acknowledged come again and change nothing."""
    declare_dead(broker_url)
    crashed = threading.Event()

    class Crashing(FlakyLedger):
        def ingest(self, notes: Sequence[Note]) -> IngestReport:
            report = self._ledger.ingest(notes)
            if not crashed.is_set():
                crashed.set()
                raise ConnectionResetError("the connection to the broker broke after the commit")
            return report

    publish(broker_url, *(letter(f"m{number}") for number in range(10)))
    with recording(broker_url, Crashing(desk), linger=0.3):
        wait_until(crashed.is_set, what="the crash")
        wait_until(lambda: take_nothing(broker_url), what="an empty queue")

    assert total(desk) == 10
    assert all(item.attempts == 4 for item in desk.find().letters)


def take_nothing(url: str) -> bool:
    """Whether the dead-letter queue is empty, unacknowledged messages included."""
    with Connection(url) as connection:
        channel = connection.default_channel
        if is_amqp(connection):
            return channel.queue_declare(DEAD, passive=True).message_count == 0
        return channel.client.llen(DEAD) == 0 and channel.client.hlen("fluxora.recorder.unacked") == 0


def test_the_broker_may_go_and_come(desk: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that is restarted is found again; one line says it went, one that it came."""
    caplog.set_level(logging.WARNING, "fluxora_tasks.ledger.recorder")
    directory = server_directory("recorder")
    store = EmbeddedStore(directory, directory / "store.sock")
    store.start()
    url = f"redis+socket://{directory / 'store.sock'}"
    publish(url, letter("m1"))
    try:
        with recording(url, desk):
            await_total(desk, 1)
            store.stop()
            wait_until(lambda: _logged(caplog, "broker_away"), what="the line that it went")
            store = EmbeddedStore(directory, directory / "store.sock")
            store.start()
            publish(url, letter("m2"))
            wait_until(lambda: total(desk) == 2, limit=20, what="the second record")
    finally:
        store.stop()

    assert _logged(caplog, "broker_away") == _logged(caplog, "broker_back") == 1


def _logged(caplog: pytest.LogCaptureFixture, event: str) -> int:
    return sum(event in record.getMessage() for record in caplog.records)


def test_a_faulty_listener_stops_nothing(desk: Ledger, broker_url: str) -> None:
    """What is told about records may fail; recording goes on."""
    declare_dead(broker_url)

    def fail(_ids: Sequence[str]) -> None:
        raise RuntimeError("journal gone")

    with recording(broker_url, desk, on_recorded=fail):
        publish(broker_url, letter("m1"))
        await_total(desk, 1)
        publish(broker_url, letter("m2"))
        await_total(desk, 2)


def test_the_sweep_runs_beside(desk: Ledger, broker_url: str) -> None:
    """The sweep is repeated while nothing arrives, and its faults stop nothing."""
    declare_dead(broker_url)
    sweeps: list[int] = []

    def sweep() -> None:
        sweeps.append(1)
        raise RuntimeError("sweep failed") if len(sweeps) == 1 else LedgerUnavailable("gone")

    with recording(broker_url, desk, sweep=sweep, sweep_every=0.05):
        wait_until(lambda: len(sweeps) >= 3, what="three sweeps")
        publish(broker_url, letter())
        await_total(desk, 1)


def test_an_abandoned_replay_is_sent_by_the_recorder(desk: Ledger, broker_url: str, clock: HeldClock) -> None:
    """Without being told anything a recorder finishes what a dead publisher began."""
    declare_dead(broker_url)
    declare(broker_url)
    note = letter()
    desk.ingest([note])
    desk.claim([note.dead_id], Actor("ada", "and gone"))
    clock.advance(31)

    with recording(broker_url, desk, sweep=None, sweep_every=0.1):
        wait_until(lambda: count(broker_url, QUEUE) == 1, what="the replay")

    assert len(take(broker_url, QUEUE)) == 1


def test_two_recorders_share_the_work(desk: Ledger, broker_url: str) -> None:
    """A second recorder is a competing consumer; together they record everything once."""
    declare_dead(broker_url)
    notes = [letter(f"m{number}") for number in range(300)]
    with recording(broker_url, desk, batch=10), recording(broker_url, desk, batch=10):
        publish(broker_url, *notes, *notes[:100])
        await_total(desk, 300)
        wait_until(lambda: take_nothing(broker_url), what="an empty queue")

    assert all(item.attempts == 4 for item in desk.find(limit=300).letters)
