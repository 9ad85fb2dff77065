"""Messages no Celery would send: each becomes a record, nobody crashes, nothing is unpickled."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from amqp import Message
from celery import Celery
from kombu import Connection
from sqlalchemy import text

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.install import install
from fluxora_tasks.ledger.database import open_engine, reading
from fluxora_tasks.settings import Settings
from tests.malformed.app import ACCEPT
from tests.malformed.messages import Bomb, Maker, Odd, envelope_of
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.malformed.app"
MESSAGES = 10_000 if os.environ.get("FLUXORA_TEST_CHAOS") == "long" else 1_500
SEED = int(os.environ.get("FLUXORA_TEST_SEED", "1"))


@dataclass
class Bench:
    """A worker, a recorder, and the ledger they fill."""

    settings: Settings
    client: Celery
    worker: ManagedProcess
    recorder: ManagedProcess
    store: StoreServer

    def publish(self, messages: Sequence[Odd]) -> None:
        """Straight to the task queue."""
        broker = str(self.settings.broker_url)
        if not broker.startswith("amqp"):
            with redis.Redis.from_url(self.store.state_url(0)) as client, client.pipeline(transaction=False) as pipe:
                for number, odd in enumerate(messages):
                    raw = odd.raw or json.dumps(envelope_of(odd, f"tag-{number}")).encode()
                    pipe.lpush("celery", raw)
                pipe.execute()
            return
        with Connection(broker) as connection, connection.channel() as channel:
            for odd in messages:
                properties = {
                    "content_type": odd.content_type,
                    "content_encoding": odd.content_encoding,
                    "application_headers": dict(odd.headers),
                    "delivery_mode": 2,
                    **odd.properties,
                }
                known = {name: value for name, value in properties.items() if value is not None}
                channel.basic_publish(Message(odd.body, **known), "", "celery")

    def recorded(self) -> int:
        """Records and parked notes."""
        return sum(
            int(self.query(f"SELECT count(*) FROM {table}")[0][0]) for table in ("dead_letters", "failed_imports")
        )

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Ask the ledger."""
        engine = open_engine(str(self.settings.ledger_url))
        try:
            with reading(engine) as connection:
                return [tuple(row) for row in connection.execute(text(statement))]
        finally:
            engine.dispose()

    def succeeds(self) -> None:
        """The same worker and the same recorder are alive, and a task runs."""
        assert self.client.send_task("echo", [7]).get(timeout=30) == 7
        for process in (self.worker, self.recorder):
            assert process.poll() is None, process.tail()


@pytest.fixture(params=["rabbitmq", "redis"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url"))


@pytest.fixture
def accept() -> str:
    return "json"


@pytest.fixture
def bench(
    broker_url: str, accept: str, store: StoreServer, tmp_path: Path, celery_processes: CeleryProcesses
) -> Iterator[Bench]:
    settings = Settings(
        broker_url=broker_url,
        redis_url=store.state_url(2),
        result_backend=store.broker_url(1),
        ledger_url=f"sqlite:///{tmp_path / 'ledger.db'}",
    )
    environment = {
        "FLUXORA_BROKER_URL": broker_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
        "FLUXORA_LEDGER_URL": str(settings.ledger_url),
        ACCEPT: accept,
        # without it Celery accepts no pickle as root
        "C_FORCE_ROOT": "1",
    }
    client = Celery("client")
    install(client, settings)
    recorder = celery_processes.recorder(APP, environment, ready="recorder.started")
    worker = celery_processes.worker(APP, environment, "--concurrency", "2")
    yield Bench(settings, client, worker, recorder, store)
    client.close()


def test_every_malformed_message_is_recorded(bench: Bench, broker_url: str, tmp_path: Path) -> None:
    """One record each, of a kind that fits; the worker and the recorder live, no pickle was opened."""
    marker = tmp_path / "unpickled"
    messages = list(Maker(SEED, marker, amqp=broker_url.startswith("amqp")).messages(MESSAGES))
    bench.publish(messages)
    try:
        wait_until(lambda: bench.recorded() >= MESSAGES, 60 + MESSAGES / 50, f"{MESSAGES} records")
    except AssertionError:
        print(f"{bench.recorded()} recorded, worker {bench.worker.poll()}, recorder {bench.recorder.poll()}")
        print(bench.worker.tail(60))
        raise
    bench.succeeds()
    assert not marker.exists(), "a pickle was opened"
    kinds = Counter(kind for (kind,) in bench.query("SELECT kind FROM dead_letters"))
    print(f"seed {SEED}: {MESSAGES} messages, {dict(kinds)}")
    parked = bench.query("SELECT error, headers FROM failed_imports")
    assert not parked, f"{len(parked)} could not become records: {parked[:10]}"
    assert bench.recorded() == MESSAGES
    assert not unfitting(bench, messages)


@pytest.mark.parametrize("accept", ["json,pickle"])
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_a_pickle_the_app_accepts_is_opened_by_its_workers_only(bench: Bench, tmp_path: Path) -> None:
    """Celery's main process opens it before the child does, with this library and without; the recorder never."""
    marker = tmp_path / "unpickled"
    body = pickle.dumps([[Bomb(marker)], {}, {}])
    content = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
    bench.publish([Odd(body=body, headers={"task": "two_arguments", "id": "pickled"}, **content)])
    wait_until(lambda: bench.recorded() == 1, 30, "the record")
    assert bench.query("SELECT kind, body FROM dead_letters") == [("bad_arguments", body)]
    opened_by = {int(line) for line in marker.read_text().split()}
    children = Path(f"/proc/{bench.worker.pid}/task/{bench.worker.pid}/children").read_text().split()
    assert opened_by <= {bench.worker.pid, *map(int, children)}
    bench.succeeds()


def unfitting(bench: Bench, messages: Sequence[Odd]) -> list[tuple[str, str]]:
    """Sort and kind of records that are called what they are not."""
    wrong = set()
    for kind, headers, body in bench.query("SELECT kind, headers, body FROM dead_letters"):
        found = re.search(r"#(\d+)#", f"{headers}{bytes(body)!r}")  # type: ignore[call-overload]
        if found is not None and Kind(str(kind)) not in messages[int(found[1])].kinds:
            wrong.add((messages[int(found[1])].sort, str(kind)))
    return sorted(wrong)
