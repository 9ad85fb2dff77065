"""A whole system on one machine: its parts, started and ended together (devstack layer)."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import redis
from kombu import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from fluxora_tasks.devstack.embedded import EmbeddedStore
from fluxora_tasks.devstack.process import ManagedProcess, Program
from fluxora_tasks.errors import (
    BrokerUnavailable,
    ConfigurationError,
    InfrastructureError,
    MissingExtra,
    StoreUnavailable,
)
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.settings import Settings, mask_url, variable_of

#: Seconds for every part to be ready.
_START_LIMIT = 60.0
#: Seconds a worker has to finish the tasks it runs; what it cannot finish is delivered again.
_WARM_LIMIT = 20.0
#: Seconds for the other parts.
_STOP_LIMIT = 5.0
#: Seconds for a broker or store to answer.
_CONNECT_LIMIT = 5.0
_POLL = 0.05
_WATCH = 0.1
#: Seconds without the worker's log line before it is asked itself: an app may log elsewhere.
_PATIENCE = 6.0


class Stack:
    """Runs the parts of one system until it is told to stop.

    Start it from the main thread: its children are ended when the thread that started them ends.

    Args:
        settings: Where its parts are; without a broker URL the embedded Valkey is started.
        app: Module of the Celery application, as ``celery -A`` takes it.
        concurrency: Worker processes.
        flower_port: Port of Flower on the loopback address; 0: a free one; ``None``: no Flower.
        worker_args: More options of ``celery worker``.

    Attributes:
        flower_url: Where Flower answers, or ``None``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        app: str = "workers.app",
        concurrency: int = 2,
        flower_port: int | None = None,
        worker_args: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._app = app
        self._concurrency = concurrency
        self._worker_args = tuple(worker_args)
        self._flower_port = flower_port
        self._state_dir = settings.state_dir.absolute()
        self._store = EmbeddedStore(self._state_dir, settings.embedded_socket) if settings.uses_embedded_store else None
        self._processes: dict[str, ManagedProcess] = {}
        self._worker_asked = 0.0
        self.flower_url: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The ``FLUXORA_*`` variables that lead a child, or a client in this process, to the parts."""
        values = {name: str(value) for name, value in asdict(self._settings).items() if value is not None}
        values["state_dir"] = str(self._state_dir)
        values["ledger_url"] = self._settings.effective_ledger_url
        if self._store is not None:
            values["broker_url"] = self._store.broker_url
            values.setdefault("result_backend", self._store.result_url)
            values.setdefault("redis_url", self._store.state_url)
        return {variable_of(name): value for name, value in values.items()}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that run: ``worker``, ``recorder``, ``flower``, ``store`` where embedded."""
        pids = {part: process.pid for part, process in self._processes.items()}
        return pids if self._store is None or self._store.pid is None else {**pids, "store": self._store.pid}

    def log(self, part: str) -> Path:
        """The file that a part (``worker``, ``recorder``, ``flower``) writes to."""
        return self._state_dir / "logs" / f"{part}.log"

    def start(self) -> None:
        """
        Start every part and wait until each is ready; if one fails, all are stopped again.

        Raises:
            ConfigurationError: something has to be set or installed first.
            InfrastructureError: a part does not answer or did not come up; ends with what it logged last.
        """
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._start_parts()
            undo.pop_all()

    def stop(self) -> None:
        """End every part: the worker finishes what it runs, the store goes last. Bounded; then by force."""
        try:
            if "flower" in self._processes:
                self._processes["flower"].terminate()
            self._stop_part("worker", _WARM_LIMIT)
            self._stop_part("recorder", _STOP_LIMIT)
            self._stop_part("flower", _STOP_LIMIT)
        finally:
            self._kill_rest()
            if self._store is not None:
                self._store.stop()

    def wait(self) -> str | None:
        """
        Block until SIGINT or SIGTERM arrives or a part ends.

        Returns:
            The part that ended (``worker``, ``recorder``, ``flower``, ``store``); ``None``: a signal.
        """
        with _signals() as told:
            while not told:
                ended = self._ended_part()
                if ended is not None:
                    return ended
                time.sleep(_WATCH)
        return None

    # ---- start

    def _start_parts(self) -> None:
        port = self._checked_flower_port()
        self._make_directories()
        if self._store is not None:
            self._store.start()
        self._check_servers()
        # the worker is the slowest to come up and needs no ledger
        self._run("worker", self._worker_arguments())
        self._upgrade_ledger()
        self._run("recorder", ("recorder",))
        if port is not None:
            self.flower_url = f"http://127.0.0.1:{port}"
            self._run("flower", ("flower", "--address=127.0.0.1", f"--port={port}"))
        self._await_ready()

    def _checked_flower_port(self) -> int | None:
        if self._flower_port is None:
            return None
        if importlib.util.find_spec("flower") is None:
            raise MissingExtra("flower", "Flower")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self._flower_port))
            except OSError as exc:
                raise ConfigurationError(
                    f"port {self._flower_port} for Flower cannot be used ({exc.strerror}); choose another"
                ) from exc
            return int(probe.getsockname()[1])

    def _make_directories(self) -> None:
        try:
            self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.log("").parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(
                f"{self._state_dir} cannot be used ({exc.strerror}); set FLUXORA_STATE_DIR"
            ) from exc

    def _check_servers(self) -> None:
        """One clear line for a configured server that does not answer, instead of a child's log."""
        if self._settings.broker_url is not None:
            require_broker(self._settings.broker_url)
        if self._settings.redis_url is not None:
            require_store(self._settings.redis_url)

    def _upgrade_ledger(self) -> None:
        engine = open_engine(self._settings.effective_ledger_url)
        try:
            upgrade(engine)
        finally:
            engine.dispose()

    def _worker_arguments(self) -> tuple[str, ...]:
        concurrency = ("--concurrency", str(self._concurrency))
        # a second spent on looking for neighbours that cannot be there
        alone = ("--without-mingle",) if self._is_alone() else ()
        fixed = ("worker", "--loglevel", "INFO", "--hostname", self._node(), *concurrency, *alone)
        return (*fixed, *self._worker_args)

    def _is_alone(self) -> bool:
        """Whether the broker has only just been started, by us."""
        return self._store is not None and self._store.is_owner

    def _node(self) -> str:
        """Name of our worker; where there may be others it needs another one than theirs."""
        return "fluxora@%h" if self._is_alone() else f"fluxora-{os.getpid()}@%h"

    def _run(self, part: str, arguments: Sequence[str]) -> None:
        self._processes[part] = ManagedProcess(
            Program(
                name=part,
                arguments=(sys.executable, "-m", "celery", "-A", self._app, *arguments),
                log=self.log(part),
                environment={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
                # the embedded store dies with us too, and a worker cannot finish anything without its broker
                death_signal=signal.SIGTERM if self._store is None else signal.SIGKILL,
            )
        )

    def _await_ready(self) -> None:
        self._worker_asked = time.monotonic()
        waiting: dict[str, Callable[[], bool]] = {
            "worker": self._worker_is_ready,
            "flower": self._flower_is_ready,
        }
        deadline = time.monotonic() + _START_LIMIT
        while waiting:
            self._require_running()
            waiting = {part: is_ready for part, is_ready in waiting.items() if not is_ready()}
            if waiting and time.monotonic() > deadline:
                raise self._failure(next(iter(waiting)), f"is not ready after {_START_LIMIT:.0f} s")
            time.sleep(_POLL)

    def _require_running(self) -> None:
        for part, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise self._failure(part, f"ended with code {code} before it was ready")

    def _failure(self, part: str, what: str) -> InfrastructureError:
        return InfrastructureError(f"the {part} {what}; end of {self.log(part)}:\n{self._processes[part].tail()}")

    def _worker_is_ready(self) -> bool:
        if " ready." in self._processes["worker"].output():
            return True
        if time.monotonic() < self._worker_asked + _PATIENCE:
            return False
        self._worker_asked = time.monotonic()
        return self._worker_answers()

    def _worker_answers(self) -> bool:
        """Ask the worker itself, as an operator would."""
        node = self._node().replace("%h", socket.gethostname())
        question = (sys.executable, "-m", "celery", "-A", self._app, "inspect", "ping", "--destination", node)
        answer = subprocess.run(  # noqa: S603  our own program, never through a shell
            question, env={**os.environ, **self.environment}, capture_output=True, timeout=30, check=False
        )
        return answer.returncode == 0

    def _flower_is_ready(self) -> bool:
        if self.flower_url is None:
            return True
        try:
            with urllib.request.urlopen(f"{self.flower_url}/healthcheck", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    # ---- stop

    def _stop_part(self, part: str, limit: float) -> None:
        if part in self._processes:
            self._processes[part].stop(wait=limit)
            del self._processes[part]

    def _kill_rest(self) -> None:
        while self._processes:
            self._processes.popitem()[1].kill()

    def _ended_part(self) -> str | None:
        for part, process in self._processes.items():
            if process.poll() is not None:
                return part
        return "store" if self._store is not None and not self._store.is_alive else None


def require_broker(url: str) -> None:
    """
    Check that a broker answers.

    Raises:
        BrokerUnavailable: it does not; one line with the masked URL.
    """
    limits = {"socket_connect_timeout": _CONNECT_LIMIT, "socket_timeout": _CONNECT_LIMIT}
    options = limits if url.startswith(("redis", "rediss")) else {}
    with Connection(url, connect_timeout=_CONNECT_LIMIT, transport_options=options) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            connection.channel().close()
        except Exception as exc:
            raise BrokerUnavailable(
                f"the broker {mask_url(url)} does not answer ({exc}); check FLUXORA_BROKER_URL"
            ) from exc


def require_store(url: str) -> None:
    """
    Check that a Redis or Valkey answers.

    Raises:
        StoreUnavailable: it does not; one line with the masked URL.
    """
    client = redis.Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_LIMIT,
        socket_timeout=_CONNECT_LIMIT,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except (redis.RedisError, OSError) as exc:
        raise StoreUnavailable(f"the Redis {mask_url(url)} does not answer ({exc}); check FLUXORA_REDIS_URL") from exc
    finally:
        client.close()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The SIGINT and SIGTERM that arrive while the block runs; the handlers are put back after it."""
    told: list[int] = []

    def tell(number: int, frame: FrameType | None) -> None:
        told.append(number)  # nothing that locks: it may interrupt any statement of the main thread

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
