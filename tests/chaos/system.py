"""The system under faults: two workers, a recorder, servers of its own, and a trace of every run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from celery import Celery
from sqlalchemy import text

from fluxora_tasks.devstack.process import ManagedProcess
from fluxora_tasks.install import install
from fluxora_tasks.interfaces.cli.errors import ExitCode
from fluxora_tasks.ledger.database import open_engine, reading
from fluxora_tasks.settings import Settings
from tests.chaos.app import QUEUE, TRACE, configure
from tests.chaos.servers import Broker, LedgerDatabase, Store
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

APP: Final = "tests.chaos.app"
WORKERS: Final = ("first", "second")
_ROOT: Final = Path(__file__).resolve().parents[2]


class Line(NamedTuple):
    """A body began or ended; ``pid`` is the child's."""

    what: str
    number: int
    message_id: str
    retries: int
    pid: int


class Row(NamedTuple):
    """A record of the ledger."""

    message_id: str
    task_id: str
    status: str
    kind: str
    conflict: bool
    failures: int
    message: str


class Trace:
    """What the bodies wrote, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self._lines: list[Line] = []

    def lines(self) -> list[Line]:
        """Everything written so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                added = file.read().rpartition(b"\n")[0]
            self._read += len(added) + 1 if added else 0
            self._lines.extend(map(_parsed, added.decode().splitlines()))
        return self._lines

    def began(self) -> int:
        """Runs begun."""
        return sum(line.what == "began" for line in self.lines())


@dataclass(eq=False)
class System:
    """The parts, and their processes.

    Attributes:
        queue: Kind of the work queue; see ``app.configure``.
        killed: Process ids of children that could not report the end of a run.
    """

    directory: Path
    broker: Broker
    ledger: LedgerDatabase
    store: Store
    celery: CeleryProcesses
    queue: str = ""
    processes: dict[str, ManagedProcess] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.trace = Trace(self.directory / "trace")
        self.settings = Settings(
            state_dir=self.directory,
            broker_url=self.broker.broker_url(),
            redis_url=self.store.server.state_url(2),
            result_backend=self.store.server.broker_url(1),
            ledger_url=self.ledger.ledger_url(),
        )
        self.environment = {
            "FLUXORA_STATE_DIR": str(self.directory),
            "FLUXORA_BROKER_URL": str(self.settings.broker_url),
            "FLUXORA_REDIS_URL": str(self.settings.redis_url),
            "FLUXORA_RESULT_BACKEND": str(self.settings.result_backend),
            "FLUXORA_LEDGER_URL": str(self.settings.ledger_url),
            QUEUE: self.queue,
            TRACE: str(self.directory / "trace"),
        }

    def start(self) -> None:
        """Start every part; the workers are waited for."""
        self.start_recorder()
        for name in WORKERS:
            self.start_worker(name, ready="")
        for name in WORKERS:
            self.await_worker(name)

    def start_worker(self, name: str, *, ready: str = " ready.") -> None:
        """Start a worker with two children."""
        self.processes[name] = self.celery.worker(
            APP, self.environment, "--concurrency", "2", name=name, ready=ready, limit=60
        )

    def await_worker(self, name: str) -> None:
        """Wait until it takes messages."""
        wait_until(partial(self._says_ready, name), 60, f"{name} is ready")

    def _says_ready(self, name: str) -> bool:
        return " ready." in self.processes[name].output()

    def start_recorder(self) -> None:
        """Start the recorder."""
        self.processes["recorder"] = self.celery.recorder(APP, self.environment)

    def tend(self) -> None:
        """Start the recorder again if it ended because the ledger was away as it started; a supervisor does that."""
        code = self.processes["recorder"].poll()
        if code is not None and code >= 0:
            assert code == ExitCode.ABORTED, self.processes["recorder"].tail()
            self.start_recorder()

    def children(self, name: str) -> list[int]:
        """Process ids of a worker's children."""
        pid = self.processes[name].pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def client(self) -> Celery:
        """An installed app that sends."""
        client = Celery("chaos-client")
        install(client, self.settings)
        configure(client, self.queue)
        return client

    def rows(self) -> list[Row]:
        """Every record of the ledger."""
        return [
            Row(*found)
            for found in self._query(
                "SELECT message_id, task_id, status, kind, conflict, failures, message FROM dead_letters"
            )
        ]

    def failed_imports(self) -> int:
        """Notes that could not become a record."""
        return int(self._query("SELECT count(*) FROM failed_imports")[0][0])

    def _query(self, statement: str) -> list[Any]:
        engine = open_engine(self.ledger.ledger_url())
        try:
            with reading(engine) as connection:
                return list(connection.execute(text(statement)))
        finally:
            engine.dispose()

    def audit(self) -> dict[str, Any]:
        """What ``fluxora audit --json`` says."""
        answer = subprocess.run(
            [sys.executable, "-m", "celery", "-A", APP, "audit", "--json"],
            env={**os.environ, "PYTHONPATH": str(_ROOT), **self.environment},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.stdout, answer.stderr
        document: dict[str, Any] = json.loads(answer.stdout)
        return document


def _parsed(line: str) -> Line:
    what, number, message_id, retries, pid = line.split()
    return Line(what, int(number), message_id, int(retries), int(pid))
