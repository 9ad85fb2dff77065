"""A whole system on one machine: it runs, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.errors import InfrastructureError
from fluxora_tasks.settings import Settings
from tests.processes import is_running
from tests.servers import StoreServer
from tests.supervisors import report, supervisor
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

APP = "tests.apps.plain"


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short directory: pytest's own paths are near the limit of a socket's."""
    directory = Path(tempfile.mkdtemp(prefix="fluxora-test-"))
    yield directory / "state"
    shutil.rmtree(directory)


@pytest.fixture
def stack(state_dir: Path) -> Iterator[Stack]:
    started = Stack(Settings(state_dir=state_dir), app=APP)
    started.start()
    yield started
    started.stop()


def client(stack: Stack) -> Celery:
    """A producer that knows the stack by its URLs alone."""
    found = stack.environment
    return Celery(broker=found["FLUXORA_BROKER_URL"], backend=found.get("FLUXORA_RESULT_BACKEND"))


def test_it_runs_a_task_and_shows_it(state_dir: Path) -> None:
    """Worker, recorder, Flower and store are ready when start returns, and gone when stop does."""
    stack = Stack(Settings(state_dir=state_dir), app=APP, flower_port=0)
    stack.start()
    pids = stack.pids
    try:
        assert set(pids) == {"worker", "recorder", "flower", "store"}
        assert client(stack).send_task(f"{APP}.double", (21,)).get(timeout=30) == 42
        with urllib.request.urlopen(f"{stack.flower_url}/workers", timeout=5) as page:
            assert page.status == 200
    finally:
        stack.stop()
    assert [part for part, pid in pids.items() if is_running(pid)] == []
    assert stack.pids == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_behind(number: signal.Signals, state_dir: Path) -> None:
    """However the supervisor ends, every process it started ends too, the worker's children included."""
    if number is signal.SIGKILL and sys.platform != "linux":
        pytest.skip("the parent-death signal is Linux's")
    process = supervisor("stack", state_dir)
    pids = report(process)
    children = children_of(pids["worker"])
    assert children
    process.send_signal(number)
    assert process.wait(60) == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    for pid in [*pids.values(), *children]:
        wait_until(lambda pid=pid: not is_running(pid), 30, f"{pid} of {pids} has ended")


def children_of(parent: int) -> list[int]:
    found = Path("/proc").glob(f"{parent}/task/*/children")
    return [int(pid) for children in found for pid in children.read_text().split()]


def test_a_killed_stack_goes_on_where_it_was(state_dir: Path) -> None:
    """A task that ran when everything was killed runs again after the next start, at once."""
    process = supervisor("stack", state_dir)
    pids = report(process)
    environment = Stack(Settings(state_dir=state_dir), app=APP).environment
    producer = Celery(broker=environment["FLUXORA_BROKER_URL"], backend=environment["FLUXORA_RESULT_BACKEND"])
    marker = state_dir / "started"
    result = producer.send_task(f"{APP}.note_and_nap", (str(marker), 1.0))
    wait_until(marker.exists)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_running, pids.values())))
    stack = Stack(Settings(state_dir=state_dir), app=APP)
    stack.start()
    try:
        assert result.get(timeout=60) == 1.0
        assert marker.read_text() == "started\nstarted\n"
    finally:
        stack.stop()


@pytest.mark.parametrize("part", ["worker", "recorder", "store"])
def test_it_says_which_part_ended(part: str, stack: Stack) -> None:
    """Waiting ends with the name of what died."""
    os.kill(stack.pids[part], signal.SIGKILL)
    assert stack.wait() == part


def test_a_worker_that_cannot_start(state_dir: Path) -> None:
    """The error ends with what the part that ended first logged last; whatever had been started is stopped."""
    stack = Stack(Settings(state_dir=state_dir), app="tests.apps.absent")
    with pytest.raises(InfrastructureError, match=r"(?s)the \w+ ended with code 2.*\w+\.log.*tests\.apps\.absent"):
        stack.start()
    assert stack.pids == {}


def test_configured_servers_are_used_and_nothing_is_embedded(
    state_dir: Path, vhost_url: str, store: StoreServer, database_url: str
) -> None:
    """With all three URLs set, the state directory holds logs and nothing else."""
    urls = {"broker_url": vhost_url, "redis_url": store.state_url(), "ledger_url": database_url}
    stack = Stack(Settings(state_dir=state_dir, result_backend=store.broker_url(1), **urls), app=APP)
    stack.start()
    try:
        assert set(stack.pids) == {"worker", "recorder"}
        assert client(stack).send_task(f"{APP}.double", (21,)).get(timeout=30) == 42
        assert [path.name for path in state_dir.iterdir()] == ["logs"]
    finally:
        stack.stop()
