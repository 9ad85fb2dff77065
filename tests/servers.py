"""Private servers for the tests: Valkey, RabbitMQ, PostgreSQL; never a default port, ended by process id."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from fluxora_tasks.devstack.embedded import EmbeddedStore
from fluxora_tasks.devstack.process import ManagedProcess, Program

_RABBIT_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_RABBIT_VHOSTS = 12


def missing(what: str, package: str) -> NoReturn:
    """Skip at a desk, fail in CI."""
    reason = f"{what} is not installed: apt-get install -y --no-install-recommends {package}"
    if os.environ.get("CI") == "true" or os.environ.get("REQUIRE_REAL_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_directory(name: str) -> Path:
    """A fresh directory in the system's temporary one; pytest's own is closed to dropped accounts."""
    return Path(tempfile.mkdtemp(prefix=f"fluxora-test-{name}-"))


# -------------------------------------------------------------------------------------- Valkey, Redis


@dataclass(frozen=True, slots=True)
class StoreServer:
    """A Valkey or Redis: broker, results and state in its databases.

    Attributes:
        address: ``/path/store.sock`` or ``redis://host:port``.
        pid: Process id of a private one, else ``None``.
    """

    address: str
    pid: int | None

    def broker_url(self, db: int = 0) -> str:
        """As kombu and Celery write it (also for the result backend)."""
        if self.pid is None:
            return f"{self.address}/{db}"
        return f"redis+socket://{self.address}?virtual_host={db}"

    def state_url(self, db: int = 2) -> str:
        """As redis-py writes it."""
        return f"{self.address}/{db}" if self.pid is None else f"unix://{self.address}?db={db}"

    def empty(self) -> None:
        """Forget everything in the databases that tests use."""
        for db in range(4):
            with redis.Redis.from_url(self.state_url(db)) as client:
                client.flushdb()


class PrivateStore:
    """The embedded Valkey in a temporary directory."""

    def __init__(self) -> None:
        self._directory = server_directory("store")
        self._store = EmbeddedStore(self._directory, self._directory / "store.sock")
        self._store.start()
        self.server = StoreServer(str(self._store.socket), self._store.pid)

    def stop(self) -> None:
        """End it and remove its directory."""
        self._store.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


class PrivateRedis:
    """The system's Redis in a temporary directory, which it never writes to."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            missing("Redis", "redis-server")
        self._directory = server_directory("redis")
        socket = str(self._directory / "redis.sock")
        arguments = [program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", str(self._directory)]
        self._process = ManagedProcess(Program("Redis", arguments, self._directory / "output.log"))
        self.server = StoreServer(socket, self._process.pid)
        self._await_ready()

    def _await_ready(self, limit: float = 30.0) -> None:
        deadline = time.monotonic() + limit
        while True:
            try:
                self.server.empty()
            except redis.ConnectionError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"Redis did not start:\n{self._process.tail(30)}")
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it and remove its directory."""
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


# ------------------------------------------------------------------------------------------- RabbitMQ


@dataclass(frozen=True, slots=True)
class RabbitServer:
    """A RabbitMQ node.

    Attributes:
        address: ``amqp://user:password@host:port``.
        pid: Process id of a private one, else ``None``.
    """

    address: str
    pid: int | None

    def url(self, vhost: str = "") -> str:
        """URL of one virtual host; ``""`` is the default one."""
        return f"{self.address}/{vhost}"


class PrivateRabbit:
    """A RabbitMQ node of our own with its own epmd; booting takes 4 to 8 s and runs beside the caller."""

    def __init__(self) -> None:
        if not _RABBIT_SERVER.exists():
            missing("RabbitMQ", "rabbitmq-server")
        self._directory = server_directory("rabbit")
        self._port, self._distribution_port, self._epmd_port = free_port(), free_port(), free_port()
        self._environment = self._prepare()
        self._vhosts: list[str] = []
        self._process = self._launch()

    def _launch(self) -> ManagedProcess:
        return ManagedProcess(
            Program(
                "RabbitMQ",
                [str(_RABBIT_SERVER)],
                self._directory / "output.log",
                self._environment,
                self._directory,
            )
        )

    def _prepare(self) -> dict[str, str]:
        home = self._directory
        for name in ("log", "mnesia"):
            (home / name).mkdir()
        (home / "enabled_plugins").write_text("[].\n")
        (home / "rabbitmq.conf").touch()
        cookie = home / ".erlang.cookie"
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(15))
        cookie.chmod(0o400)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            # a name on the machine's own hostname is 54 s of silence where that does not resolve
            "RABBITMQ_NODENAME": "fluxora@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # without it the shell wrapper exits 0 on a failed boot and its pid is not the node's
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def await_ready(self, limit: float = 90.0) -> RabbitServer:
        """Wait for an AMQP handshake: the port opens before the node can talk."""
        deadline = time.monotonic() + limit
        while not _speaks_amqp(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"RabbitMQ did not start:\n{self._process.tail(30)}")
            time.sleep(0.05)
        return RabbitServer(f"amqp://guest:guest@127.0.0.1:{self._port}", self._process.pid)

    def fresh_vhost(self) -> str:
        """A virtual host that nobody used before; made by the dozen, as a call of the tool takes 1 s."""
        if not self._vhosts:
            self._vhosts = [f"t{secrets.token_hex(4)}" for _ in range(_RABBIT_VHOSTS)]
            self._evaluate(
                'lists:foreach(fun(V) -> rabbit_vhost:add(V, <<"test">>), '
                'rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, '
                f'<<"test">>) end, {self._erlang_list(self._vhosts)}).'
            )
        return self._vhosts.pop()

    @staticmethod
    def _erlang_list(names: list[str]) -> str:
        return "[" + ",".join(f'<<"{name}">>' for name in names) + "]"

    def _evaluate(self, expression: str) -> None:
        self.control("eval", expression)

    def control(self, *arguments: str) -> str:
        """A call of ``rabbitmqctl``; returns what it says."""
        return subprocess.run(
            [str(_RABBIT_SERVER.parent.parent / "bin" / "rabbitmqctl"), *arguments],
            env=self._environment,
            cwd=self._directory,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def restart(self, term: signal.Signals = signal.SIGKILL) -> None:
        """End the node, without notice unless ``term`` says otherwise, and start it again with its data and port."""
        self._process.stop(term, wait=30)
        self._process = self._launch()
        self.await_ready()

    def stop(self) -> None:
        """End the node, then its epmd, which is a daemon and would stay."""
        self._process.stop(wait=30)
        subprocess.run(["epmd", "-port", str(self._epmd_port), "-kill"], capture_output=True, timeout=30, check=False)
        shutil.rmtree(self._directory, ignore_errors=True)


def _speaks_amqp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


# ----------------------------------------------------------------------------------------- PostgreSQL


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A PostgreSQL cluster.

    Attributes:
        address: ``postgresql+psycopg://user[:password]@host:port``.
        database: Database to connect to for making others.
        pid: Process id of a private one, else ``None``.
    """

    address: str
    database: str
    pid: int | None

    def url(self, database: str | None = None) -> str:
        """SQLAlchemy's URL of one database."""
        return f"{self.address}/{database or self.database}"

    def create_database(self) -> str:
        """A fresh, empty database; returns its name."""
        name = f"fluxora_test_{secrets.token_hex(6)}"
        self._execute(f'CREATE DATABASE "{name}"')
        return name

    def drop_database(self, name: str) -> None:
        """Remove it, whoever is still connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        url = self.url().replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


class PrivatePostgres:
    """A cluster in a temporary directory; as root it runs under the account ``postgres``."""

    def __init__(self) -> None:
        programs = _postgres_programs()
        if programs is None:
            missing("PostgreSQL", "postgresql-15")
        self._directory = server_directory("postgres")
        user = "postgres" if os.getuid() == 0 else None
        if user:
            shutil.chown(self._directory, user, user)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._directory),
            "LC_ALL": "C.UTF-8",
        }
        data, port = str(self._directory / "data"), free_port()
        self._run_once(
            [
                *(str(programs / "initdb"), "-D", data, "-U", "postgres"),
                *("-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"),
            ],
            environment,
            user,
        )
        options = [f"-c{name}=off" for name in ("fsync", "synchronous_commit", "full_page_writes")]
        self._process = ManagedProcess(
            Program(
                "PostgreSQL",
                [
                    *(str(programs / "postgres"), "-D", data, "-k", str(self._directory)),
                    *("-h", "127.0.0.1", "-p", str(port), *options),
                ],
                self._directory / "output.log",
                environment,
                self._directory,
                user,
                signal.SIGINT,
            )
        )
        self.server = PostgresServer(f"postgresql+psycopg://postgres@127.0.0.1:{port}", "postgres", self._process.pid)
        self._await_ready()

    def _run_once(self, arguments: list[str], environment: dict[str, str], user: str | None) -> None:
        process = ManagedProcess(
            Program("initdb", arguments, self._directory / "initdb.log", environment, self._directory, user)
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.stop(wait=0) != 0:
            pytest.fail(f"initdb failed:\n{process.tail(30)}")

    def _await_ready(self, limit: float = 30.0) -> None:
        deadline = time.monotonic() + limit
        while True:
            try:
                psycopg.connect(self.server.url().replace("+psycopg", "", 1), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"PostgreSQL did not start:\n{self._process.tail(30)}")
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it at once, without waiting for its clients, and remove its directory."""
        self._process.stop(signal.SIGINT, wait=15)
        shutil.rmtree(self._directory, ignore_errors=True)


def _postgres_programs() -> Path | None:
    """The directory of the newest installed PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parent.parent.name))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    return Path(program).parent if program and shutil.which("initdb") else None


# ------------------------------------------------------------------------- servers somebody else runs


def external_store() -> StoreServer | None:
    """The one of FLUXORA_TEST_REDIS_URL; its databases 0 to 3 are emptied by the tests."""
    url = os.environ.get("FLUXORA_TEST_REDIS_URL")
    return StoreServer(url.rstrip("/"), None) if url else None


def external_rabbit() -> RabbitServer | None:
    """The one of FLUXORA_TEST_BROKER_URL."""
    url = os.environ.get("FLUXORA_TEST_BROKER_URL")
    return RabbitServer(url.rstrip("/"), None) if url else None


def external_postgres() -> PostgresServer | None:
    """The one of FLUXORA_TEST_LEDGER_URL, whose account may make databases."""
    url = os.environ.get("FLUXORA_TEST_LEDGER_URL")
    if not url:
        return None
    parts = urlsplit(url)
    return PostgresServer(f"postgresql+psycopg://{parts.netloc}", parts.path.lstrip("/") or "postgres", None)
