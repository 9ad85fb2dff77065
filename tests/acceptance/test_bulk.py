"""Bulk replays with real workers and recorders, on both brokers: they stop by themselves, and survive a kill."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine, text

from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.install import install
from fluxora_tasks.ledger.database import open_engine, reading
from fluxora_tasks.settings import Settings
from tests.integration.cli.programs import ROOT, Ended, command, run
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"

FAST = ("--rate", "500", "--max-rate", "2000", "--max-in-flight", "1000")


@dataclass
class Bench:
    """A worker, somebody who sends, and the ledger that a recorder keeps."""

    environment: dict[str, str]
    client: Celery
    engine: Engine
    path: Path
    processes: CeleryProcesses

    def operations(self, *words: str) -> Ended:
        return run("fluxora", "operations", *words, environment=self.environment, app=APP)

    def show(self, operation_id: str) -> Any:
        return self.operations("show", operation_id, "--json").document()

    @contextmanager
    def watching(self, operation_id: str) -> Iterator[subprocess.Popen[str]]:
        """Somebody who follows it in a pipe."""
        watcher = subprocess.Popen(
            command("fluxora", "operations", "watch", operation_id, app=APP),
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with watcher:
            try:
                yield watcher
            finally:
                watcher.kill()

    def record(self) -> ManagedProcess:
        """A recorder, which is also the executor."""
        return self.processes.recorder(APP, self.environment, ready="recorder.started")

    def make_dead(self, count: int) -> None:
        """So many records of one failure."""
        for number in range(count):
            self.client.send_task("numbered", args=(str(self.path), number))
        wait_until(lambda: self.statuses() == {"PENDING": count}, 60, f"{count} dead letters")

    def repair(self) -> None:
        self.path.touch()

    def statuses(self) -> dict[str, int]:
        """Records by status."""
        return dict(self._rows("SELECT status, count(*) FROM dead_letters GROUP BY status"))

    def issued(self) -> int:
        """Records that any operation has sent."""
        return int(self._rows("SELECT coalesce(sum(issued), 0) FROM replay_operations")[0][0])

    def runs(self, what: str) -> Counter[tuple[int, int]]:
        """Runs that ``succeeded`` or ``failed``, by number of the message and of the replay."""
        path = Path(f"{self.path}.{what}")
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter((int(line.split()[0]), int(line.split()[1])) for line in lines)

    def _rows(self, query: str) -> list[Any]:
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url"))


@pytest.fixture
def bench(broker_url: str, store: StoreServer, celery_processes: CeleryProcesses, tmp_path: Path) -> Iterator[Bench]:
    urls = {
        "broker_url": broker_url,
        "redis_url": store.state_url(2),
        "ledger_url": f"sqlite:///{tmp_path / 'ledger.db'}",
    }
    environment = {f"FLUXORA_{name.upper()}": url for name, url in urls.items()}
    client = Celery("client")
    install(client, Settings(**urls))
    engine = open_engine(urls["ledger_url"])
    celery_processes.worker(APP, environment, "--concurrency", "2")
    yield Bench(environment, client, engine, tmp_path / "repaired", celery_processes)
    engine.dispose()
    client.close()


def seconds(operation: Any) -> float:
    """How long it took."""
    start, end = (datetime.fromisoformat(operation[name]) for name in ("started_at", "ended_at"))
    return (end - start).total_seconds()


def test_a_thousand_records(bench: Bench) -> None:
    """While their cause is not mended only the canary is sent; once it is, each one runs exactly once to success."""
    bench.record()
    bench.make_dead(1000)

    chosen = ("run", "replay", "--filter", "task:numbered", *FAST, "--yes", "--watch", "--json")
    aborted = bench.operations(*chosen, "--reason", "perhaps it is mended")
    stopped = aborted.document()
    assert (aborted.code, stopped["state"]) == (5, "aborted"), aborted
    assert stopped["detail"].startswith("cause not fixed: "), stopped["detail"]
    assert 5 <= stopped["issued"] <= 10, "1 % are the canary"
    assert (stopped["issued"], stopped["skipped"]) == (stopped["failed"], 1000 - stopped["issued"])
    assert Counter(number for _, number in bench.runs("failed").elements()) == {0: 1000, 1: stopped["issued"]}
    assert bench.statuses() == {"PENDING": 1000}

    bench.repair()
    done = bench.operations(*chosen, "--reason", "mended")
    completed = done.document()
    assert (done.code, completed["state"]) == (0, "completed"), done
    assert (completed["known"], completed["succeeded"]) == (1000, 1000)
    assert bench.statuses() == {"RESOLVED": 1000}
    succeeded = bench.runs("succeeded")
    assert Counter(number for number, _ in succeeded.elements()) == dict.fromkeys(range(1000), 1)
    print(f"aborted after {seconds(stopped):.1f} s, completed after {seconds(completed):.1f} s")


def test_an_executor_that_is_killed(bench: Bench) -> None:
    """The next recorder goes on where it was: no record is lost, none runs twice to success under one number."""
    recorder = bench.record()
    bench.make_dead(600)
    bench.repair()

    pace = ("--rate", "100", "--no-ramp", "--max-in-flight", "200")
    planned = bench.operations("plan", "replay", "--all", *pace, "--reason", "mended", "--json").document()
    bench.operations("start", planned["id"])
    with bench.watching(planned["id"]) as watcher:
        wait_until(lambda: bench.issued() >= 150, 30, "the middle of it")
        recorder.kill()
        left = 600 - bench.issued()
        assert left > 100, "it was in the middle of it"
        bench.record()
        out, _ = watcher.communicate(timeout=90)
    assert watcher.returncode == 0, out
    assert f"{planned['id'][:8]} completed: 600 of 600 known, 600 succeeded" in out
    operation = bench.show(planned["id"])
    assert (operation["total"], operation["issued"], operation["succeeded"]) == (600, 600, 600)
    assert bench.statuses() == {"RESOLVED": 600}
    succeeded = bench.runs("succeeded")
    assert {number for number, _ in succeeded} == set(range(600))
    assert max(succeeded.values()) == 1
    assert {replay for _, replay in succeeded} == {1}
    print(f"killed with {left} to go, completed after {seconds(operation):.1f} s")
