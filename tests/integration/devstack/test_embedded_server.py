"""The embedded Valkey: one per state directory, nothing lost, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import kombu
import kombu.simple
import pytest
import redis

from fluxora_tasks.devstack.embedded import EmbeddedStore
from fluxora_tasks.errors import InfrastructureError
from fluxora_tasks.settings import Settings
from tests.processes import is_running
from tests.supervisors import report, supervisor
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

#: Takes a message and dies with it.
TAKER = """
import kombu, os, sys
kombu.Connection(sys.argv[1]).SimpleQueue("work").get(timeout=5)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def store(state_dir: Path) -> Iterator[EmbeddedStore]:
    started = EmbeddedStore(state_dir, state_dir / "store.sock")
    started.start()
    yield started
    started.stop()


def client(store: EmbeddedStore) -> redis.Redis:
    return redis.Redis.from_url(store.state_url)


def test_six_starts_at_once_make_one_server(state_dir: Path) -> None:
    """One of them owns it, the others attach."""
    processes = [supervisor("store", state_dir) for _ in range(6)]
    reports = [report(process) for process in processes]
    assert len({each["store"] for each in reports}) == 1
    assert sum(each["owner"] for each in reports) == 1
    for process in processes:
        process.terminate()
    assert [process.wait(60) for process in processes] == [0] * 6
    assert not is_running(reports[0]["store"])


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_killed_supervisor_takes_server_and_children_along(state_dir: Path) -> None:
    """SIGKILL gives it no chance to clean up; the kernel does."""
    process = supervisor("store", state_dir)
    pids = report(process)
    process.kill()
    process.wait()
    wait_until(lambda: not is_running(pids["store"]), 30, "the server is gone")
    wait_until(lambda: not is_running(pids["child"]), 30, "the child is gone")


def test_a_killed_server_loses_nothing(store: EmbeddedStore, state_dir: Path) -> None:
    """Every push that was answered is there after the restart, and the stale socket is replaced."""
    for number in range(1000):
        client(store).rpush("queue", f"message {number}")
    client(store).eval(MANY, 0)
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    wait_until(lambda: not store.is_alive)
    store.stop()
    assert (state_dir / "store.sock").exists()
    again = EmbeddedStore(state_dir, state_dir / "store.sock")
    again.start()
    assert client(again).llen("queue") == 1000
    assert client(again).dbsize() == 300_001
    again.stop()


#: So much that loading it takes a while, in which the server answers INFO but nothing else.
MANY = "for i = 1, 300000 do redis.call('SET', i, i) end"


def take(queue: kombu.simple.SimpleQueue) -> str | None:
    """The next message; kombu looks for expired ones when it found no other."""
    with suppress(queue.Empty):
        return str(queue.get(timeout=0.1).payload)
    return None


def test_what_a_dead_worker_had_taken_is_delivered_again(store: EmbeddedStore, state_dir: Path) -> None:
    """After a restart nobody waits for the visibility timeout of an hour."""
    with kombu.Connection(store.broker_url) as connection:
        connection.SimpleQueue("work").put("a message")
    taker = subprocess.run([sys.executable, "-c", TAKER, store.broker_url], check=False)
    assert taker.returncode == -signal.SIGKILL
    assert redis.Redis(unix_socket_path=str(store.socket)).llen("work") == 0
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    wait_until(lambda: not store.is_alive)
    store.stop()
    again = EmbeddedStore(state_dir, state_dir / "store.sock")
    again.start()
    with kombu.Connection(again.broker_url) as connection:
        assert wait_until(lambda: take(connection.SimpleQueue("work"))) == "a message"
    again.stop()


def test_a_second_start_attaches_and_leaves_the_server_running(store: EmbeddedStore, state_dir: Path) -> None:
    """Whoever came later does not end what it did not start."""
    second = EmbeddedStore(state_dir, state_dir / "store.sock")
    second.start()
    assert (second.pid, second.is_owner) == (store.pid, False)
    second.stop()
    assert store.is_alive


def test_attaching_finds_the_socket_where_it_was_announced(store: EmbeddedStore, state_dir: Path) -> None:
    """Two processes may disagree about the short directory (TMPDIR); the announcement decides."""
    second = EmbeddedStore(state_dir, state_dir / "elsewhere.sock")
    second.start()
    assert second.socket == store.socket


def test_a_deep_directory_and_a_space_work(state_dir: Path) -> None:
    """The socket moves to a short private directory; kombu and redis-py find it."""
    deep = state_dir / "a b" / ("d" * 120)
    settings = Settings(state_dir=deep)
    store = EmbeddedStore(deep, settings.embedded_socket)
    store.start()
    with kombu.Connection(store.broker_url) as connection:
        connection.SimpleQueue("greetings").put("hello")
    assert client(store).ping()
    assert store.socket.parent.stat().st_mode & 0o777 == 0o700
    store.stop()
    shutil.rmtree(store.socket.parent)


def test_what_it_makes_is_private(store: EmbeddedStore, state_dir: Path) -> None:
    """Directory, data and socket are closed to other accounts."""
    for path in (state_dir, state_dir / "data", store.socket):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_server_that_cannot_start_shows_its_log(state_dir: Path) -> None:
    """One error that ends with what the server said."""
    append_only = state_dir / "data" / "appendonlydir"
    append_only.mkdir(parents=True)
    (append_only / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(InfrastructureError, match=r"(?s)did not start; end of .*store\.log:\n.+manifest"):
        EmbeddedStore(state_dir, state_dir / "store.sock").start()
    assert not (state_dir / "store.json").exists()
