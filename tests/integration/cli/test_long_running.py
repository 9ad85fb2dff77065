"""`recorder` and `up` from start to signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from fluxora_tasks.devstack.process import ManagedProcess, Program
from tests.integration.cli.programs import APP, ROOT, command, ended, run
from tests.processes import is_running
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]


class Programs:
    """Starts `fluxora` or `celery` commands and ends what is left of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[ManagedProcess] = []

    def start(self, program: str, *words: str, environment: dict[str, str], says: str) -> ManagedProcess:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = ManagedProcess(
            Program(
                name=program,
                arguments=command(program, *words),
                log=self._directory / f"{program}-{len(self.started)}.log",
                environment={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environment},
                directory=ROOT,
            )
        )
        self.started.append(process)
        wait_until(lambda: says in process.output() or process.poll() is not None, 60, says)
        assert process.poll() is None, process.output()
        return process


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    for process in started.started:
        process.stop()


def end(process: ManagedProcess, number: signal.Signals) -> int:
    """Signal the process itself and wait; not its session, which would hide what it leaves behind."""
    process.terminate(number)
    wait_until(lambda: process.poll() is not None, 40, f"the end of {process.name}")
    code = process.poll()
    assert code is not None
    return code


@pytest.mark.parametrize("program", ["fluxora", "celery"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_recorder_ends_cleanly(
    programs: Programs, environment: dict[str, str], program: str, number: signal.Signals
) -> None:
    """A signal ends it with 0; it logs its start and its end, and has made the schema."""
    recorder = programs.start(program, "recorder", environment=environment, says="recorder.started")
    assert end(recorder, number) == 0, recorder.output()
    assert "recorder.stopped" in recorder.output()
    assert "Traceback" not in recorder.output()
    assert run(program, "dead", "list", environment=environment).code == 0


def test_the_recorder_on_rabbitmq(programs: Programs, environment: dict[str, str], vhost_url: str) -> None:
    """Its queue is declared there, and it ends as cleanly."""
    amqp = {**environment, "FLUXORA_BROKER_URL": vhost_url}
    recorder = programs.start("celery", "recorder", environment=amqp, says="recorder.started")
    with Connection(vhost_url) as connection:
        wait_until(lambda: consumers(connection, "fluxora.dead") == 1, 20, "a consumer")
    assert end(recorder, signal.SIGTERM) == 0, recorder.output()


def consumers(connection: Connection, queue: str) -> int:
    """Consumers of a queue; 0 where it does not exist yet."""
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).consumer_count)
        except connection.channel_errors:
            return 0


def test_the_recorder_waits_for_its_broker(programs: Programs, environment: dict[str, str]) -> None:
    """A broker that is away is one line of its log; it goes on waiting, and ends as cleanly as ever."""
    away = {**environment, "FLUXORA_BROKER_URL": "redis://127.0.0.1:1/0"}
    recorder = programs.start("fluxora", "recorder", environment=away, says="recorder.broker_away")
    assert end(recorder, signal.SIGTERM) == 0, recorder.output()
    assert "Traceback" not in recorder.output()


def embedded(directory: Path) -> dict[str, str]:
    """The environment of a stack that brings its own store."""
    return {"FLUXORA_STATE_DIR": str(directory)}


def children_of(pid: int) -> list[int]:
    """Processes that the process started and their own, by /proc."""
    found = ended(["ps", "-e", "-o", "pid=,ppid="], {}).out.split()
    parents = dict(zip(map(int, found[::2]), map(int, found[1::2]), strict=True))
    mine = [child for child, parent in parents.items() if parent == pid]
    return [*mine, *(grandchild for child in mine for grandchild in children_of(child))]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_starts_everything_and_leaves_nothing(programs: Programs, tmp_path: Path, number: signal.Signals) -> None:
    """With nothing configured it brings its own store; a signal ends it with 0 and no process is left."""
    state = tmp_path / "state"
    words = ("up", "--no-flower", "--concurrency", "1", "--state-dir", str(state))
    up = programs.start("fluxora", *words, environment={}, says="Ctrl-C stops everything.")
    children = children_of(up.pid)
    assert len(children) >= 3  # store, worker, recorder
    assert "embedded Valkey" in up.output()
    script = f"from {APP} import read_meter; print(read_meter.delay('/nowhere').id)"
    assert ended([sys.executable, "-c", script], embedded(state)).code == 0
    wait_until(
        lambda: "read_meter" in run("fluxora", "dead", "list", environment=embedded(state)).out, 20, "a dead letter"
    )
    assert end(up, number) == 0, up.output()
    assert up.output().endswith("Stopped.\n")
    wait_until(lambda: not any(map(is_running, children)), 10, "every child ended")


def test_up_killed_leaves_nothing(programs: Programs, tmp_path: Path) -> None:
    """SIGKILL gives it no time to stop its parts; they end by themselves."""
    words = ("up", "--no-flower", "--concurrency", "1", "--state-dir", str(tmp_path / "state"))
    up = programs.start("fluxora", *words, environment={}, says="Ctrl-C stops everything.")
    children = children_of(up.pid)
    end(up, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, children)), 40, "every child ended")


def test_up_with_a_broker_that_is_away(environment: dict[str, str]) -> None:
    """One line, code 5, and nothing is started."""
    away = {**environment, "FLUXORA_BROKER_URL": "redis://127.0.0.1:1/0"}
    told = run("fluxora", "up", "--no-flower", environment=away)
    assert told.code == 5, told
    assert "FLUXORA_BROKER_URL" in told.err
    assert told.err.count("\n") == 1


def test_the_worker_pays_next_to_nothing_for_the_commands() -> None:
    """Beside an installed app and celery's own commands, loading ours imports no other module."""
    script = (
        "import sys, celery.bin.celery, fluxora_tasks\n"
        "before = set(sys.modules)\n"
        "import fluxora_tasks.interfaces.cli.entry\n"
        "more = {name for name in set(sys.modules) - before if not name.startswith('fluxora_tasks.interfaces')}\n"
        "assert not more, more\n"
        "assert 'fluxora_tasks.interfaces.cli.dead' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
