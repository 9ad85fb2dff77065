"""A secret in a message stays in the sealed original: it is in no other column, no log, no event and no output."""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Producer
from sqlalchemy import create_engine, inspect, text

from fluxora_tasks.deadletter.secretpatterns import MARK
from fluxora_tasks.devstack.process import ManagedProcess
from tests.integration.cli.programs import ended, run
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.secret_app"
CANARY = "kanarie-7f3a91"

#: What a replay sends again, byte for byte.
SEALED = {("dead_letters", "body"), ("dead_letters", "headers"), ("dead_letters", "properties")}

#: Task -> positional arguments, arguments by name, headers.
SENT: dict[str, tuple[list[Any], dict[str, Any], dict[str, Any]]] = {
    "by_name": (["eva"], {"password": CANARY}, {}),
    "by_position": (["eva", CANARY], {}, {}),
    "by_header": ([], {}, {"x-api-key": CANARY}),
    "unpicklable": ([CANARY], {}, {}),
    "retried": ([{"db": {"password": CANARY}}], {}, {}),
    "from_nowhere": ([CANARY[:8], CANARY[8:]], {}, {}),
    "aborts": ([CANARY], {}, {}),
    "nobody_knows_me": ([], {"password": CANARY}, {}),
}


@dataclass
class Bench:
    """A worker, a recorder, and somebody who listens to the worker's events."""

    environment: dict[str, str]
    worker: ManagedProcess
    recorder: ManagedProcess
    client: Celery
    events: list[dict[str, Any]] = field(default_factory=list)

    def listed(self, count: int) -> list[dict[str, Any]]:
        """All dead letters, once there are that many."""

        def items() -> list[dict[str, Any]]:
            page = run("fluxora", "dead", "list", "--json", environment=self.environment, app=APP)
            found = page.document()["items"] if page.code == 0 else []
            return found if len(found) >= count else []

        return list(wait_until(items, 40, f"{count} dead letters"))

    def outputs(self, ids: list[str]) -> Iterator[str]:
        """What the commands print about them."""
        for words in (
            ["list"],
            ["list", "--json"],
            *(["show", id] for id in ids),
            *(["show", id, "--json"] for id in ids),
        ):
            yield run("fluxora", "dead", *words, environment=self.environment, app=APP).out

    def columns(self) -> Iterator[tuple[str, str, str]]:
        """Every value of every table of the ledger, as text."""
        engine = create_engine(self.environment["FLUXORA_LEDGER_URL"])
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                    yield from ((table, column, _text(value)) for column, value in row.items())
        engine.dispose()


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "backslashreplace") if isinstance(value, (bytes, memoryview)) else str(value)


@pytest.fixture(params=["redis, prefork", "rabbitmq, prefork", "redis, threads"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """URL of the broker, and the pool."""
    broker, _, pool = request.param.partition(", ")
    return str(request.getfixturevalue("store_url" if broker == "redis" else "vhost_url")), pool


@pytest.fixture
def bench(place: tuple[str, str], store: Any, tmp_path: Path, celery_processes: CeleryProcesses) -> Iterator[Bench]:
    broker_url, pool = place
    environment = {
        "FLUXORA_BROKER_URL": broker_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
        "FLUXORA_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
        "FLUXORA_STATE_DIR": str(tmp_path / "state"),
    }
    # one that knows nothing of this library: the worker is what hides
    client = Celery("client", broker=broker_url, backend=store.broker_url(1))
    recorder = celery_processes.recorder(APP, environment)
    options = ("--pool", pool, "--concurrency", "2", "-E")
    worker = celery_processes.worker(APP, environment, *options)
    bench = Bench(environment, worker, recorder, client)
    with client.connection_for_read() as connection:
        receiver = client.events.Receiver(connection, handlers={"*": bench.events.append})
        listening = threading.Event()
        receiver.on_consume_ready = lambda *_, **__: listening.set()
        thread = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        thread.start()
        assert listening.wait(20)
        yield bench
        receiver.should_stop = True
        thread.join(20)
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()


def test_a_canary_stays_in_the_sealed_original(bench: Bench) -> None:
    """Whatever way it comes in, and whatever text a failure puts it into."""
    results = [
        bench.client.send_task(name, args=args, kwargs=kwargs, headers=headers)
        for name, (args, kwargs, headers) in SENT.items()
    ]
    with Connection(bench.environment["FLUXORA_BROKER_URL"]) as connection:
        producer = Producer(connection)
        for number, body in enumerate((f'[[], {{"password": "{CANARY}"}}', f'[[], ["{CANARY}"], {{}}]')):
            producer.publish(
                body.encode(),
                routing_key="celery",
                content_type="application/json",
                content_encoding="utf-8",
                headers={"task": "echoes", "id": f"odd-{number}", "x-api-key": CANARY},
            )
    assert bench.client.send_task("echoes", args=[CANARY]).get(timeout=20) == CANARY
    with pytest.raises(Exception, match=CANARY):
        results[0].get(timeout=20)  # whoever called a task sees what it raised

    letters = bench.listed(len(SENT) + 2)
    ids = [str(letter["id"])[:8] for letter in letters]
    sealed = {(table, column) for table, column, value in bench.columns() if CANARY in value}
    assert sealed <= SEALED, sealed
    assert sealed >= {("dead_letters", "body"), ("dead_letters", "headers")}
    for printed in bench.outputs(ids):
        assert printed
        assert CANARY not in printed
    wait_until(
        lambda: _types(bench) >= {"task-received", "task-failed", "task-retried", "task-succeeded"}, 20, "events"
    )
    assert CANARY not in json.dumps(bench.events, default=str)
    for process in (bench.worker, bench.recorder):
        assert CANARY not in process.output()
    assert "cannot log eva in with '" + MARK in bench.worker.output(), "the rest of the text is still told"
    assert f"ValueError: {MARK}" in bench.worker.output()


def _types(bench: Bench) -> set[str]:
    return {str(event["type"]) for event in bench.events}


@pytest.mark.parametrize("place", ["redis, prefork"], indirect=True)
def test_an_installed_producer_announces_no_secret(bench: Bench) -> None:
    """Celery's event about a sent message shows its arguments; so do the headers that the worker gets."""
    script = f"from {APP} import by_position; by_position.apply_async(('eva', '{CANARY}'))"
    assert ended([sys.executable, "-c", script], bench.environment).code == 0
    bench.listed(1)
    (headers,) = [value for table, column, value in bench.columns() if (table, column) == ("dead_letters", "headers")]
    assert CANARY not in headers
    wait_until(lambda: "task-sent" in _types(bench), 20, "the event")
    assert CANARY not in json.dumps(bench.events, default=str)
