"""How fast dead letters come into a ledger that is full already, and how fast they are replayed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any, Final

from kombu import Connection, Queue
from sqlalchemy import Engine

from benchmarks.ledger.filling import ERRORS, NEWEST, QUEUES, TASKS, TRACEBACK
from fluxora_tasks.deadletter.envelope import DeadLetter, Kind, Payload, View
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.identity import dead_id_for, failure_id_for, new_id, timed_id
from fluxora_tasks.ledger.database import open_engine
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor

#: Notes of one transaction, as the recorder takes them; replays claimed at a time, as an operation does.
BATCH: Final = 500

#: Rounds of a replay.
ROUNDS: Final = 5


@dataclass(frozen=True)
class Rate:
    """Things per second.

    Attributes:
        budget: At least so many, or so many times the other side; ``None``: there is none.
        beside: Of the other side, measured in turn with this one.
    """

    name: str
    value: float
    budget: float | None
    beside: float | None = None


def ingest(url: str, count: int, budget: float) -> Iterator[Rate]:
    """New notes, the same once more, and new ones by two recorders at once."""
    engine = open_engine(url)
    ledger = Ledger(engine)
    batches = list(_batches(count))
    yield Rate(f"ingest, one recorder, {BATCH} at a time", count / _seconds(ledger, batches), budget)
    yield Rate("the same notes once more", count / _seconds(ledger, batches), None)
    engine.dispose()
    yield Rate("ingest, two recorders at once", 2 * count / _together(url, count), None)


def _seconds(ledger: Ledger, batches: Sequence[Sequence[DeadLetter]]) -> float:
    began = time.perf_counter()
    for batch in batches:
        if ledger.ingest(batch).parked:
            raise SystemExit("not every note became a record")
    return time.perf_counter() - began


def _together(url: str, count: int) -> float:
    """Seconds until both are done."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    children = [context.Process(target=_record, args=(url, count, barrier)) for _ in range(2)]
    for child in children:
        child.start()
    barrier.wait()
    began = time.perf_counter()
    for child in children:
        child.join()
        if child.exitcode:
            raise SystemExit("a recorder ended with an error")
    return time.perf_counter() - began


def _record(url: str, count: int, barrier: Barrier) -> None:
    engine = open_engine(url)
    ledger, batches = Ledger(engine), list(_batches(count))
    ledger.status_counts()
    barrier.wait()
    _seconds(ledger, batches)
    engine.dispose()


def _batches(count: int) -> Iterator[list[DeadLetter]]:
    for start in range(0, count, BATCH):
        yield [_note(number) for number in range(start, min(start + BATCH, count))]


def _note(number: int) -> DeadLetter:
    """A failure as a worker tells of it; 200 groups."""
    group = number * 7919 % 200
    task, queue = TASKS[group % 5], QUEUES[group % 4]
    error, words = ERRORS[group // 2 % 5]
    message_id, run_id, task_id = timed_id(), timed_id(), new_id()
    dead_id = dead_id_for(message_id, task, queue)
    headers = {"id": task_id, "task": task, "lang": "py", "retries": 3, "root_id": task_id, "tenant": "t7"}
    arguments = {"customer": number, "currency": "EUR"}
    return DeadLetter(
        dead_id=dead_id,
        failure_id=failure_id_for(dead_id, run_id),
        message_id=message_id,
        run_id=run_id,
        kind=Kind.RETRIES_EXHAUSTED,
        task=task,
        task_id=task_id,
        queue=queue,
        routing_key=queue,
        exception_type=error,
        message=words.format(host=f"db{group}", item=number),
        traceback=TRACEBACK,
        attempts=4,
        failed_at=NEWEST + timedelta(milliseconds=number),
        worker="w1@host",
        payload=Payload(
            b'[[%d], {"customer": 1, "currency": "EUR"}, {"callbacks": null}]' % number,
            "application/json",
            "utf-8",
            headers,
            {"correlation_id": task_id, "delivery_mode": 2},
        ),
        fingerprint=Fingerprint("frame", (f"type={error}", f"at=shop.orders.step{group}", f"task={task}")),
        view=View([number], arguments, headers),
    )


def replay(engine: Engine, broker: str, url: str, count: int) -> Rate:
    """So many records claimed, published with confirmation and marked in a round, beside a bare producer's messages."""
    ledger = Ledger(engine)
    ours, bare = [], []
    with _replaying(ledger, url) as replayer, Connection(url, transport_options=_confirmed(url)) as connection:
        for name in QUEUES:
            Queue(name, durable=True)(connection.default_channel).declare()
        publish = _publisher(connection)
        for _ in range(ROUNDS + 1):
            ids = ledger.select(parse(f"status:PENDING failed:<={NEWEST.isoformat()}"), limit=count)
            began = time.perf_counter()
            claims = list(_replayed(ledger, replayer, ids))
            middle = time.perf_counter()
            for claim in claims:
                publish(claim)
            ours.append(len(claims) / (middle - began))
            bare.append(len(claims) / (time.perf_counter() - middle))
            for name in QUEUES:
                connection.default_channel.queue_purge(name)
    # the first round opens connections
    return Rate(f"replay on {broker}", median(ours[1:]), 0.8, median(bare[1:]))


def _replayed(ledger: Ledger, replayer: Replayer, ids: Sequence[str]) -> Iterator[Claim]:
    by = Actor("bench", "measured")
    for start in range(0, len(ids), BATCH):
        verdicts = ledger.claim(ids[start : start + BATCH], by)
        claims = [verdict.claim for verdict in verdicts if verdict.claim is not None]
        if replayer.send(claims) or len(claims) != len(verdicts):
            raise SystemExit("not every record could be replayed")
        yield from claims


@contextmanager
def _replaying(ledger: Ledger, url: str) -> Iterator[Replayer]:
    with Replayer(lambda: Connection(url), ledger) as replayer:
        yield replayer


def _confirmed(url: str) -> dict[str, Any]:
    """As ours: the broker confirms every message, where it can."""
    return {"confirm_publish": True} if url.startswith("amqp") else {}


def _publisher(connection: Connection) -> Callable[[Claim], None]:
    producer = connection.Producer()

    def publish(claim: Claim) -> None:
        payload = claim.payload
        producer.publish(
            payload.body,
            exchange="",
            routing_key=claim.queue,
            content_type=payload.content_type,
            content_encoding=payload.content_encoding,
            headers=dict(payload.headers),
            **payload.properties,
        )

    return publish
