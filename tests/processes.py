"""Real worker and recorder processes for the acceptance tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fluxora_tasks.devstack.process import ManagedProcess, Program
from tests.waiting import wait_until

_ROOT = Path(__file__).resolve().parent.parent


class CeleryProcesses:
    """Starts ``celery`` commands as processes of their own and waits until they are ready.

    Args:
        directory: Where their logs go.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[ManagedProcess] = []

    def worker(
        self,
        app: str,
        environment: Mapping[str, str],
        *options: str,
        name: str = "worker",
        ready: str = " ready.",
        limit: float = 30.0,
    ) -> ManagedProcess:
        """
        A worker that takes messages.

        Args:
            app: Module of the application, importable from the checkout.
            environment: Variables on top of ours (``FLUXORA_BROKER_URL`` and so on).
            options: More options of ``celery worker``; default ``--concurrency 2``.
            ready: What its log says then.
            limit: Seconds to get there.
        """
        options = options or ("--concurrency", "2")
        fixed = ("worker", "--loglevel", "INFO", "--hostname", f"{name}@localhost")
        return self.start(name, app, (*fixed, *options), environment, ready=ready, limit=limit)

    def recorder(
        self, app: str, environment: Mapping[str, str], *options: str, name: str = "recorder", ready: str = ""
    ) -> ManagedProcess:
        """A recorder; without ``ready`` it is not waited for: its queue keeps what it has yet to take."""
        return self.start(name, app, ("recorder", *options), environment, ready=ready)

    def start(
        self,
        name: str,
        app: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        ready: str = "",
        limit: float = 30.0,
    ) -> ManagedProcess:
        """Any ``celery -A app …`` command; waits for ``ready`` in its log, if given."""
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        process = ManagedProcess(
            Program(
                name,
                [sys.executable, "-m", "celery", "-A", app, *arguments],
                self._directory / f"{name}.log",
                {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path, **environment},
                _ROOT,
            )
        )
        self._started.append(process)
        wait_until(lambda: self._is_ready(process, ready), limit, f"{name} ready")
        return process

    @staticmethod
    def _is_ready(process: ManagedProcess, ready: str) -> bool:
        assert process.poll() is None, f"{process.name} ended with {process.poll()}:\n{process.tail(40)}"
        return ready in process.output()

    def stop(self) -> None:
        """End everything that was started, the last one first."""
        for process in reversed(self._started):
            process.terminate()
        for process in reversed(self._started):
            process.stop(wait=15)


def is_running(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
