"""What a real worker does with failures, on both brokers."""

from __future__ import annotations

import gc
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Producer

from fluxora_tasks.deadletter.envelope import Confirmation, Kind
from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.install import install
from fluxora_tasks.journal import Journal
from fluxora_tasks.settings import Settings
from tests.acceptance.dead_queue import DeadQueue
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"


@dataclass
class Bench:
    """One running worker, a client, and the dead-letter queue."""

    client: Celery
    dead: DeadQueue
    worker: ManagedProcess
    journal: Journal
    broker_url: str

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.client.send_task(task, args=args, **options)

    def publish(self, body: bytes, content_type: str, headers: dict[str, Any]) -> None:
        """A message that no Celery made."""
        with Connection(self.broker_url) as connection:
            Producer(connection).publish(
                body,
                exchange="",
                routing_key="celery",
                content_type=content_type,
                content_encoding="utf-8",
                headers=headers,
            )

    def succeeds(self) -> None:
        """The worker is alive and consuming."""
        assert self.send("echo", 1).get(timeout=20) == [[1], {}]

    def waiting(self) -> int:
        """Messages sent that have not ended."""
        return self.journal.counts().open


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    name = "store_url" if request.param == "redis" else "vhost_url"
    return str(request.getfixturevalue(name))


@pytest.fixture(params=["prefork"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(broker_url: str, pool: str, store: Any, celery_processes: CeleryProcesses) -> Iterator[Bench]:
    environment = {
        "FLUXORA_BROKER_URL": broker_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
    }
    client = Celery("client")
    extension = install(
        client,
        Settings(broker_url=broker_url, redis_url=store.state_url(2), result_backend=store.broker_url(1)),
    )
    dead = DeadQueue(broker_url)
    worker = celery_processes.worker(APP, environment, "--pool", pool, "--concurrency", "2")
    assert extension.journal is not None
    yield Bench(client, dead, worker, extension.journal, broker_url)
    dead.close()
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()


#: Task -> kind, attempts, exception.
TASKS = {
    "raise_value_error": (Kind.EXCEPTION, 1, "builtins.ValueError"),
    "never_again": (Kind.NON_RETRYABLE, 1, "fluxora_tasks.errors.NonRetryableError"),
    "always_down": (Kind.RETRIES_EXHAUSTED, 3, "builtins.ConnectionRefusedError"),
    "unpicklable": (Kind.EXCEPTION, 1, "tests.acceptance.failing_app.Unpicklable"),
    "out_of_memory": (Kind.EXCEPTION, 1, "builtins.MemoryError"),
    "exits": (Kind.EXCEPTION, 1, "builtins.SystemExit"),
    "base_exception": (Kind.EXCEPTION, 1, "builtins.KeyboardInterrupt"),
    "rejected": (Kind.REJECTED_BY_CODE, 1, "celery.exceptions.Reject"),
    "celery_retries": (Kind.RETRIES_EXHAUSTED, 2, "builtins.KeyError"),
    "autoretried": (Kind.RETRIES_EXHAUSTED, 2, "builtins.KeyError"),
    "two_arguments": (Kind.BAD_ARGUMENTS, 1, "builtins.TypeError"),
    "nobody_knows_me": (Kind.UNKNOWN_TASK, 1, "celery.exceptions.NotRegistered"),
}

#: Only a pool with processes can end a run from outside.
PREFORK_TASKS = {
    "kill_myself": (Kind.WORKER_LOST, 1, "billiard.exceptions.WorkerLostError"),
    "too_slow": (Kind.HARD_TIME_LIMIT, 1, "billiard.exceptions.TimeLimitExceeded"),
    "soft_limit": (Kind.SOFT_TIME_LIMIT, 1, "billiard.exceptions.SoftTimeLimitExceeded"),
}

JSON, TASK = "application/json", {"task": "echo", "id": "odd"}

#: Messages by hand: name -> kind, content type, body, headers.
ODD_MESSAGES: dict[str, tuple[Kind, str, bytes, dict[str, Any]]] = {
    "truncated": (Kind.UNDECODABLE, JSON, b"[[1, 2", TASK),
    "random": (Kind.UNDECODABLE, JSON, bytes(range(256)), TASK),
    "no header, no json": (Kind.UNDECODABLE, JSON, b"\xff\xfe", {}),
    "pickle": (Kind.CONTENT_REFUSED, "application/x-python-serialize", pickle.dumps([[], {}, {}]), TASK),
    "foreign type": (Kind.CONTENT_REFUSED, "text/csv", b"a;b", TASK),
    "json, not a task": (Kind.NOT_A_TASK, JSON, b'{"hello": 1}', {}),
    "empty list": (Kind.NOT_A_TASK, JSON, b"[]", TASK),
    "two parts": (Kind.NOT_A_TASK, JSON, b"[[], {}]", TASK),
    "three letters": (Kind.NOT_A_TASK, JSON, b'"abc"', TASK),
    "no id": (Kind.NOT_A_TASK, JSON, b"[[], {}, {}]", {"task": "echo"}),
    "bad time limit": (Kind.NOT_A_TASK, JSON, b"[[], {}, {}]", {**TASK, "timelimit": "ab"}),
    "bad eta": (Kind.NOT_A_TASK, JSON, b"[[], {}, {}]", {**TASK, "eta": "whenever"}),
    "far eta": (Kind.NOT_A_TASK, JSON, b"[[], {}, {}]", {**TASK, "eta": "9999-12-31T00:00:00"}),
    "kwargs a list": (Kind.BAD_ARGUMENTS, JSON, b"[[], [], {}]", TASK),
    "args a mapping": (Kind.BAD_ARGUMENTS, JSON, b"[{}, {}, {}]", TASK),
    "corrupt compression": (Kind.UNDECODABLE, JSON, b"not gzip", {**TASK, "compression": "application/x-gzip"}),
    "task name a number": (Kind.UNKNOWN_TASK, JSON, b"[[], {}, {}]", {"task": 7, "id": "odd"}),
}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"], indirect=True)
def test_each_way_to_fail_makes_one_dead_letter_of_its_kind(bench: Bench, pool: str) -> None:
    """One record per message, the right kind and attempts, the same bytes, the worker alive, everything settled."""
    expected = TASKS | (PREFORK_TASKS if pool == "prefork" else {})
    for task in expected:
        bench.send(task)
    for task in ("ignored", "opted_out"):
        bench.send(task)
    for name, (_, content_type, body, headers) in ODD_MESSAGES.items():
        bench.publish(body, content_type, {**headers, "name": name})
    letters = bench.dead.wait_for(len(expected) + len(ODD_MESSAGES), limit=60)
    bench.succeeds()
    odd = {letter.payload.headers["name"]: letter for letter in letters if "name" in letter.payload.headers}
    tasks = {letter.task: letter for letter in letters if "name" not in letter.payload.headers}
    assert {task: (one.kind, one.attempts, one.exception_type) for task, one in tasks.items()} == expected
    assert {name: one.kind for name, one in odd.items()} == {name: kind for name, (kind, *_) in ODD_MESSAGES.items()}
    assert {name: one.payload.body for name, one in odd.items()} == {
        name: body for name, (_, _, body, _) in ODD_MESSAGES.items()
    }
    assert len(bench.dead.letters()) == len(expected) + len(ODD_MESSAGES)
    wait_until(lambda: bench.waiting() == len(expected), what="only the dead letters are open in the journal")
    counts = bench.journal.counts()
    assert (counts.sent, counts.succeeded, counts.ignored) == (len(expected) + 3, 1, 2)
    bench.worker.stop(wait=30)
    assert left_in_queue(bench) == 0, "everything was acknowledged"


def test_a_transient_failure_is_tried_again(bench: Bench) -> None:
    """Two failures, then success: no dead letter, one message in the journal, two retries counted."""
    assert bench.send("down_until", 3).get(timeout=20) == 3
    wait_until(lambda: (bench.journal.counts().retried, bench.waiting()) == (2, 0), what="both retries and the end")
    counts = bench.journal.counts()
    assert (counts.sent, counts.succeeded) == (1, 1)
    assert bench.dead.letters() == []


def test_the_body_is_kept_byte_for_byte(bench: Bench) -> None:
    """A body no serializer of ours would write: spaces, escapes, non-ASCII, long and nested."""
    arguments = ["ä\u2028€𝄞" * 2000, {"nested": [[{"deep": [None, True, 1e308]}]]}, "\\u0041", "x" * 100_000]
    body = json.dumps([arguments, {"k": "v"}, {}], ensure_ascii=False, indent=3).encode()
    bench.publish(body, "application/json", {"task": "raise_value_error", "id": "by-hand", "custom": "kept"})
    (letter,) = bench.dead.wait_for(1)
    assert letter.payload.body == body
    assert letter.payload.headers["custom"] == "kept"
    assert (letter.task_id, letter.queue, letter.message_id) == ("by-hand", "celery", "by-hand")
    assert letter.kind is Kind.BAD_ARGUMENTS


def test_a_revoked_message_is_kept(bench: Bench) -> None:
    """Celery acknowledges a revoked message without a trace."""
    bench.client.control.revoke("the-id", reply=True)
    bench.send("echo", task_id="the-id")
    (letter,) = bench.dead.wait_for(1)
    assert (letter.kind, letter.message) == (Kind.REVOKED, "task revoked")


def test_an_expired_message_is_kept(bench: Bench) -> None:
    """Celery acknowledges an expired message without a trace, and has RabbitMQ drop it before a worker sees it."""
    bench.send("echo", expires=-10)
    (letter,) = bench.dead.wait_for(1)
    assert (letter.kind, letter.message) == (Kind.EXPIRED, "task expired")


@pytest.mark.parametrize("how", ["worker stays", "worker is killed"])
def test_nothing_is_acknowledged_while_the_dead_letter_cannot_be_published(
    bench: Bench, how: str, break_dead_queue: Callable[[Bench], Callable[[], None]]
) -> None:
    """The broker refuses the dead letter: the message stays unacknowledged, and is kept once the broker accepts."""
    repair = break_dead_queue(bench)
    bench.send("raise_value_error", "while refused")
    bench.succeeds()
    wait_until(lambda: "dead letter not published" in bench.worker.output(), what="the publish was refused")
    if how == "worker stays":
        repair()
        assert [letter.message for letter in bench.dead.wait_for(1, limit=40)] == ["while refused"]
        bench.worker.stop(wait=30)
        assert left_in_queue(bench) == 0, "acknowledged after the dead letter"
    else:
        bench.worker.stop(wait=0)
        wait_until(lambda: left_in_queue(bench) == 1, what="the message is still the broker's")
        repair()


@pytest.fixture
def break_dead_queue() -> Callable[[Bench], Callable[[], None]]:
    """Make the broker refuse dead letters; returns what ends that."""

    def break_it(bench: Bench) -> Callable[[], None]:
        channel = bench.dead._connection.default_channel
        if bench.broker_url.startswith("amqp"):
            # the publisher declares the exchange, which another type of exchange of that name refuses
            channel.queue_delete("fluxora.dead")
            channel.exchange_delete("fluxora.dead")
            channel.exchange_declare("fluxora.dead", "fanout", durable=True, auto_delete=False)

            def repair() -> None:
                channel.exchange_delete("fluxora.dead")
                bench.dead._queue.declare()

            return repair
        # a key of another type refuses the push
        channel.client.set("fluxora.dead", "in the way")
        return lambda: channel.client.delete("fluxora.dead")

    return break_it


def left_in_queue(bench: Bench) -> int:
    """Messages the broker still has once the worker is gone: those never acknowledged."""
    with Connection(bench.broker_url) as connection:
        channel = connection.default_channel
        if bench.broker_url.startswith("amqp"):
            return int(channel.queue_declare("celery", passive=True).message_count)
        return int(channel.client.hlen("unacked")) + int(channel.client.llen("celery"))


def test_a_child_killed_right_after_it_sent_its_retry(bench: Bench) -> None:
    """Its run is a dead letter; the attempt that it sent succeeds, and says so to the record."""
    result = bench.send("dies_after_its_retry")
    (letter,) = bench.dead.wait_for(1)
    assert letter.kind is Kind.WORKER_LOST
    wait_until(lambda: any(isinstance(note, Confirmation) for note in bench.dead.poll()), 30, "the confirmation")
    (confirmation,) = [note for note in bench.dead.poll() if isinstance(note, Confirmation)]
    assert (confirmation.dead_id, confirmation.replay_no) == (letter.dead_id, 0)
    assert len(bench.dead.letters()) == 1
    assert result.id == letter.task_id
