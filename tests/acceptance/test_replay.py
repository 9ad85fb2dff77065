"""The worker's half of a replay, on both brokers: which copy runs, and what the dead-letter queue hears of it."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, group
from celery.exceptions import TaskRevokedError
from kombu import Connection, Producer

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Note, Progress
from fluxora_tasks.deadletter.identity import PUBLISH_ID, REPLAY_NO, new_id
from fluxora_tasks.deadletter.rewrite import needs_fresh_task_id, rewrite
from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.install import Extension, install
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.settings import Settings
from fluxora_tasks.worker.gate import ReplayGate
from tests.acceptance.dead_queue import DeadQueue
from tests.processes import CeleryProcesses
from tests.servers import PrivateStore, StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"


class NoLedger:
    """The test is the ledger."""

    def mark_issued(self, item_ids: Any) -> None: ...


@dataclass
class Bench:
    """One running worker, a client, the dead-letter queue, and shared state on a server of its own."""

    client: Celery
    extension: Extension
    dead: DeadQueue
    worker: ManagedProcess
    state: StoreServer
    broker_url: str
    path: Path

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.client.send_task(task, args=args, **options)

    def publish(self, body: bytes, content_type: str, headers: dict[str, Any]) -> None:
        """A message that no Celery made."""
        with Connection(self.broker_url) as connection:
            Producer(connection).publish(
                body, exchange="", routing_key="celery", content_type=content_type, headers=headers
            )

    def replay(self, letter: DeadLetter, number: int = 1) -> str:
        """Send it as the ledger does; the task id of the replay."""
        task_id = new_id() if needs_fresh_task_id(letter.kind) else None
        payload = rewrite(
            letter.payload,
            dead_id=letter.dead_id,
            message_id=letter.message_id,
            replay_no=number,
            publish_id=new_id(),
            task_id=task_id,
        )
        ledger: Any = NoLedger()
        with Replayer(self.extension.connect, ledger) as replayer:
            assert replayer.send([Claim("item", letter.dead_id, number, letter.queue, payload)]) == {}
        return str(payload.headers.get("id"))

    def notes(self, count: int, of: type[Note]) -> list[Any]:
        """All notes of a kind, when there are so many."""

        def found() -> list[Note]:
            return [note for note in self.dead.poll() if isinstance(note, of)]

        wait_until(lambda: len(found()) >= count, 30, f"{count} of {of.__name__}")
        return found()

    def comes_to(self, task_id: str, state: str) -> None:
        """The result under an id; asked anew each time, since a result object remembers what it heard last."""
        wait_until(lambda: self.client.AsyncResult(task_id).state == state, what=f"{state} under {task_id}")

    def told(self) -> list[type]:
        return [type(note) for note in self.dead.poll()]

    def runs(self) -> int:
        lines = Path(f"{self.path}.runs")
        return len(lines.read_text().splitlines()) if lines.exists() else 0

    def dropped(self) -> int:
        assert self.extension.journal is not None
        return self.extension.journal.counts().duplicates_dropped

    def is_idle(self) -> None:
        """Whatever was sent before has been dealt with: a child takes one task at a time, so two fill both."""
        group(self.client.signature("echo", args=(number,)) for number in range(4)).apply_async().get(timeout=30)

    @contextmanager
    def without_state(self) -> Iterator[None]:
        """The server of shared state answers nobody."""
        assert self.state.pid is not None
        os.kill(self.state.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.state.pid, signal.SIGCONT)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    name = "store_url" if request.param == "redis" else "vhost_url"
    return str(request.getfixturevalue(name))


@pytest.fixture(params=["prefork"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def state() -> Iterator[StoreServer]:
    private = PrivateStore()
    yield private.server
    private.stop()


@pytest.fixture
def bench(
    broker_url: str, pool: str, store: StoreServer, state: StoreServer, celery_processes: CeleryProcesses,
    tmp_path: Path,
) -> Iterator[Bench]:  # fmt: skip
    urls = {"broker_url": broker_url, "redis_url": state.state_url(2), "result_backend": store.broker_url(1)}
    environment = {f"FLUXORA_{name.upper()}": url for name, url in urls.items()}
    client = Celery("client")
    extension = install(client, Settings(**urls))
    dead = DeadQueue(broker_url)
    worker = celery_processes.worker(APP, environment, "--pool", pool, "--concurrency", "2")
    yield Bench(client, extension, dead, worker, state, broker_url, tmp_path / "repaired")
    dead.close()
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()


def test_a_replay_tells_of_its_retries(bench: Bench) -> None:
    """Two retries are two notes of progress, each with when the next attempt is due, then one confirmation."""
    result = bench.send("third_run_when_repaired", str(bench.path))
    (letter,) = bench.dead.wait_for(1)
    bench.path.touch()
    bench.replay(letter)
    (confirmation,) = bench.notes(1, Confirmation)
    first, second = bench.notes(2, Progress)
    assert bench.told() == [DeadLetter, Progress, Progress, Confirmation]
    assert {(note.dead_id, note.replay_no) for note in (first, second, confirmation)} == {(letter.dead_id, 1)}
    assert len({note.run_id for note in (letter, first, second, confirmation)}) == 4
    assert [round((note.due_at - note.seen_at).total_seconds(), 2) for note in (first, second)] == [0.05, 0.1]
    assert first.due_at <= second.seen_at
    assert result.get(timeout=20) == "repaired"


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"], indirect=True)
def test_the_caller_of_an_expired_message_gets_its_result(bench: Bench) -> None:
    """Under the id it knows, though the replay runs under another; so does a group of it."""
    members = [bench.client.signature("echo", args=(1,)), bench.client.signature("echo", args=(2,), expires=-10)]
    result = group(members).apply_async()
    (letter,) = bench.dead.wait_for(1)
    original = letter.task_id
    assert letter.kind is Kind.EXPIRED
    with pytest.raises(TaskRevokedError):
        bench.client.AsyncResult(original).get(timeout=20)
    fresh = bench.replay(letter)
    bench.notes(1, Confirmation)
    assert fresh != original
    for task_id in (fresh, original):
        assert bench.client.AsyncResult(task_id).get(timeout=20) == [[2], {}]
    again = bench.client.GroupResult(result.id, [bench.client.AsyncResult(member.id) for member in result])
    assert again.get(timeout=20) == [[[1], {}], [[2], {}]]


def test_a_failure_under_a_fresh_id_reaches_the_caller(bench: Bench) -> None:
    """Given up by a child, and by the main process whose child is gone; a second replay keeps the first id."""
    bench.send("noted", str(bench.path), expires=-10)
    (letter,) = bench.dead.wait_for(1)
    bench.replay(letter)
    failed = bench.dead.wait_for(2)[1]
    bench.comes_to(letter.task_id, "FAILURE")
    bench.path.touch()
    bench.replay(failed, 2)
    bench.comes_to(letter.task_id, "SUCCESS")

    lost = bench.send("kill_myself", expires=-10)
    bench.replay(next(found for found in bench.dead.wait_for(3) if found.task == "kill_myself"))
    bench.comes_to(lost.id, "FAILURE")


def test_copies_of_a_void_replay_are_dropped(bench: Bench) -> None:
    """Acknowledged and counted; they do not run and nothing is told of them. The next replay runs."""
    bench.send("noted", str(bench.path))
    (letter,) = bench.dead.wait_for(1)
    ReplayGate(bench.extension.store).void(letter.dead_id, 1)
    bench.path.touch()
    bench.replay(letter)
    wait_until(lambda: bench.dropped() == 1, what="the copy dropped")
    bench.is_idle()
    assert (bench.runs(), bench.told()) == (1, [DeadLetter])
    assert f"a copy of replay 1 of dead letter {letter.dead_id} is dropped: void" in bench.worker.output()
    bench.replay(letter, 2)
    (confirmation,) = bench.notes(1, Confirmation)
    assert (confirmation.replay_no, confirmation.gate_unavailable) == (2, False)


def test_of_two_copies_of_a_replay_one_runs(bench: Bench) -> None:
    """A publisher died between the publish and its mark, and the sweep sent another."""
    bench.send("noted", str(bench.path))
    (letter,) = bench.dead.wait_for(1)
    bench.path.touch()
    bench.replay(letter)
    bench.replay(letter)
    wait_until(lambda: bench.dropped() == 1, what="the second copy dropped")
    bench.notes(1, Confirmation)
    bench.is_idle()
    assert (bench.runs(), bench.told()) == (2, [DeadLetter, Confirmation])


def test_without_shared_state_a_strict_task_waits_and_others_run(bench: Bench) -> None:
    """The one comes again until somebody can vouch for it; the others say that nobody could."""
    for task in ("strict", "noted"):
        bench.send(task, str(bench.path))
    letters = {letter.task: letter for letter in bench.dead.wait_for(2)}
    bench.path.touch()
    with bench.without_state():
        for letter in letters.values():
            bench.replay(letter)
        (confirmation,) = bench.notes(1, Confirmation)
        assert (confirmation.dead_id, confirmation.gate_unavailable) == (letters["noted"].dead_id, True)
        (put_back, *_) = bench.notes(1, Progress)
        assert put_back.dead_id == letters["strict"].dead_id
        assert 5 <= (put_back.due_at - put_back.seen_at).total_seconds() <= 10
        assert bench.runs() == 3, "both at first, and one replay"
    confirmations = wait_until(lambda: bench.notes(1, Confirmation)[1:], 90, "the strict replay")
    assert [(note.dead_id, note.gate_unavailable) for note in confirmations] == [(letters["strict"].dead_id, False)]
    assert bench.runs() == 4


ODD = {
    "no task, no json": (Kind.UNDECODABLE, b"\xff\xfe\x00", {"x-tenant": "acme", "expires": "never"}),
    "a task, no json": (Kind.UNDECODABLE, b"[[1, 2", {"task": "echo", "id": "odd", "x-tenant": "acme"}),
    "json, no task": (Kind.NOT_A_TASK, b'{"hello": 1}', {"retries": "many"}),
    "an unknown task": (Kind.UNKNOWN_TASK, b"[[], {}, {}]", {"task": "nobody_knows_me", "id": "unknown"}),
}


@pytest.mark.parametrize("name", ODD)
def test_a_message_nobody_can_read_does_not_grow(bench: Bench, name: str) -> None:
    """Replayed as it was received last, ten times: the same record, bytes, and headers but for their numbers."""
    kind, body, headers = ODD[name]
    bench.publish(body, "application/json", headers)
    (first,) = bench.dead.wait_for(1)
    letter = first
    for number in range(1, 11):
        bench.replay(letter, number)
        letter = bench.dead.wait_for(number + 1)[number]
        assert (letter.dead_id, letter.replay_no, letter.kind) == (first.dead_id, number, kind)
        assert (letter.message_id, letter.payload.body, letter.payload.content_type) == (
            first.message_id,
            body,
            "application/json",
        )
    second = bench.dead.letters()[1]
    assert letter.payload == replace(
        second.payload,
        headers={**second.payload.headers, REPLAY_NO: 10, PUBLISH_ID: letter.payload.headers[PUBLISH_ID]},
        properties=letter.payload.properties,
    )
    assert letter.payload.properties.keys() == second.payload.properties.keys()
    kept = {key: value for key, value in letter.payload.headers.items() if not key.startswith("fx_")}
    assert kept == headers | ({"retries": 0} if "task" in headers else {})


def test_a_replay_cannot_be_declared_void_without_shared_state(bench: Bench) -> None:
    """Whoever asks is told, as a copy may still run."""
    with bench.without_state(), pytest.raises(StoreUnavailable):
        ReplayGate(bench.extension.store).void("dead", 1)
