"""Servers that can be taken away and brought back with their data."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

import redis

from fluxora_tasks.devstack.embedded import server_program
from fluxora_tasks.devstack.process import ManagedProcess, Program
from tests.servers import PrivatePostgres, PrivateRabbit, StoreServer, server_directory
from tests.waiting import wait_until


def _nothing() -> None:
    pass


class Broker(Protocol):
    """A message broker of our own."""

    def broker_url(self) -> str:
        """For Celery."""
        ...

    def restart(self, *, politely: bool = False, meanwhile: Callable[[], object] = _nothing) -> None:
        """Stop it, by force unless politely, and start it again with its data; do something between."""
        ...

    def stop(self) -> None:
        """End it for good."""
        ...


class LedgerDatabase(Protocol):
    """A database for the ledger."""

    def ledger_url(self) -> str:
        """For SQLAlchemy."""
        ...

    def be_away(self, seconds: float, meanwhile: Callable[[], object] = _nothing) -> None:
        """Answer nobody for so long; do something at the beginning of it."""
        ...

    def stop(self) -> None:
        """End it for good."""
        ...


class Rabbit(PrivateRabbit):
    """A RabbitMQ node."""

    def broker_url(self) -> str:
        return self.await_ready().url()

    def restart(self, *, politely: bool = False, meanwhile: Callable[[], object] = _nothing) -> None:
        self._process.stop(signal.SIGTERM if politely else signal.SIGKILL, wait=30)
        meanwhile()
        self._process = ManagedProcess(self._process.program)
        self.await_ready()


class Store:
    """A Valkey or Redis with an append-only file, which loses nothing it has answered for when it is killed."""

    def __init__(self) -> None:
        self._directory = server_directory("chaos-store")
        socket = self._directory / "store.sock"
        self.server = StoreServer(str(socket), 0)
        self._process = ManagedProcess(
            Program(
                "the store",
                [
                    *(server_program(), "--port", "0", "--unixsocket", str(socket), "--dir", str(self._directory)),
                    *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--logfile", ""),
                ],
                self._directory / "store.log",
            )
        )
        self._await_ready()

    def broker_url(self) -> str:
        return self.server.broker_url()

    def restart(self, *, politely: bool = False, meanwhile: Callable[[], object] = _nothing) -> None:
        self._process.stop(signal.SIGTERM if politely else signal.SIGKILL, wait=30)
        meanwhile()
        self._process = ManagedProcess(self._process.program)
        self._await_ready()

    def _await_ready(self) -> None:
        wait_until(self._answers, 30, "the store answers")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._process.tail()
        with redis.Redis.from_url(self.server.state_url()) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


class Postgres(PrivatePostgres):
    """A cluster that is stopped for a while."""

    def ledger_url(self) -> str:
        return self.server.url()

    def be_away(self, seconds: float, meanwhile: Callable[[], object] = _nothing) -> None:
        self._process.stop(signal.SIGINT, wait=15)
        meanwhile()
        time.sleep(seconds)
        self._process = ManagedProcess(self._process.program)
        self._await_ready()


class Sqlite:
    """A file that somebody else locks for a while."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ledger_url(self) -> str:
        return f"sqlite:///{self._path}"

    def be_away(self, seconds: float, meanwhile: Callable[[], object] = _nothing) -> None:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            meanwhile()
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    def stop(self) -> None:
        """Nothing runs."""
