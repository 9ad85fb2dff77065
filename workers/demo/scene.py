"""Everything the demo runs, in a state directory of its own, and the way back to nothing."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from celery import Celery

from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.devstack.process import ManagedProcess, Program
from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.errors import ConfigurationError, ConflictError, InfrastructureError
from fluxora_tasks.install import Extension, extension_of
from fluxora_tasks.journal import Journal
from fluxora_tasks.ledger.database import open_engine
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.audit import AuditReport, run_audit
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.settings import Settings, load_settings
from workers.demand.store import DemandStore

#: Says that a directory is the demo's, and may be emptied by it.
_MARKER: Final = ".fluxora-demo"
_SERVICE_LIMIT: Final = 15.0
#: There is no other worker to greet, which takes a second, or to listen to.
_ALONE: Final = ("--without-mingle", "--without-gossip")


#: What ends the demo before its time.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
#: Seconds until a signal nobody heard is raised again.
_AGAIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scene:
    """The running parts, as the demo sees them.

    Attributes:
        stack: Store, worker, recorder and, if asked for, Flower.
        service_url: The demand service.
        demand: The pipeline's own store.
        app: The application, as a client of the worker.
        journal: What was sent and how it ended.
        ledger: What died, as the audit reads it.
        letters: What died, as an operator sees it.
        circuits: Where circuits stand, for everybody.
    """

    stack: Stack
    service_url: str
    demand: DemandStore
    app: Celery
    journal: Journal
    ledger: Ledger
    letters: DeadLetters
    circuits: BreakerStore

    def audit(self) -> AuditReport:
        """Every message sent, by what became of it."""
        settings: Settings = self.app.fluxora.settings
        return run_audit(self.app, self.journal, self.ledger, settings.dead_letter_queue)


@contextmanager
def scene(state_dir: Path, interruption: Interruption, *, seed: int, with_flower: bool) -> Iterator[Scene]:
    """
    Start everything on fresh state; end everything, whatever happens, before leaving.

    Servers that ``FLUXORA_*`` variables name are left alone: a demo has no business in them.

    Raises:
        ConflictError: another demo runs in this directory.
        ConfigurationError: the directory is not the demo's, or something has to be installed first.
        InfrastructureError: a part does not come up; ends with what it logged last.
    """
    with ExitStack() as parts:
        directory = parts.enter_context(_fresh_directory(state_dir))
        parts.enter_context(_environment(_without_settings()))
        with interruption.held():
            url = parts.enter_context(_demand_service(directory, seed))
            settings = load_settings(state_dir=directory)
            stack = Stack(settings, concurrency=3, flower_port=0 if with_flower else None, worker_args=_ALONE)
            demand = directory / "demand.db"
            found = {**os.environ, **stack.environment, "DEMAND_API": url, "DEMAND_STORE": str(demand)}
            parts.enter_context(_environment(found))
            parts.callback(stack.stop)
            parts.callback(interruption.ignore)
            stack.start()
        client = _client(settings)
        circuits = client.breakers.store
        assert client.journal is not None, "the embedded store keeps a journal"
        assert circuits is not None, "and circuits"
        ledger = Ledger(open_engine(settings.effective_ledger_url))
        parts.callback(ledger.close)
        letters = DeadLetters(ledger, client.connect)
        yield Scene(stack, url, DemandStore(demand), client.app, client.journal, ledger, letters, circuits)


class Interruption:
    """SIGINT and SIGTERM as KeyboardInterrupt, with their number; but none while a part is between not there and there.

    Raised again until it is heard: Python swallows what is raised while it destroys an object.
    The handlers are put back when the block ends.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: int | None = None

    def __enter__(self) -> Interruption:
        self._before = {number: signal.signal(number, self._told) for number in _SIGNALS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._tell_again)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_heard()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The first signal inside the block counts at its end; a second one at once."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._waiting is not None:
            raise KeyboardInterrupt(self._waiting)

    def ignore(self) -> None:
        """No further signal disturbs the clean stop that the first one began; the stop is bounded by itself."""
        self._is_heard()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self._held and self._waiting is None:
            self._waiting = number
            return
        self._waiting = number
        if not self._held:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise KeyboardInterrupt(number)

    def _tell_again(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(self._waiting)

    def _is_heard(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _fresh_directory(state_dir: Path) -> Iterator[Path]:
    """``demo`` in the state directory, emptied, and ours alone until the block ends."""
    directory = state_dir.absolute() / "demo"
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory.parent / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{state_dir} cannot be used ({error.strerror}); set FLUXORA_STATE_DIR") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _empty(directory)
        yield directory
    except BlockingIOError:
        raise ConflictError(f"another demo is running in {directory}; wait for it, or end it") from None
    finally:
        os.close(lock)


def _empty(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not (directory / _MARKER).exists()):
        raise ConfigurationError(f"{directory} was not made by the demo, which would empty it; move it away")
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    (directory / _MARKER).touch()


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FLUXORA_")}


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """These variables and no others, for us and for the children started meanwhile."""
    before = dict(os.environ)
    _set_environment(wanted)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(wanted: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


@contextmanager
def _demand_service(directory: Path, seed: int) -> Iterator[str]:
    """The demand service, as a process of its own; yields its URL."""
    arguments = (sys.executable, "-m", "workers.demand.service", "--port", "0", "--seed", str(seed))
    process = ManagedProcess(Program("demand service", arguments, directory / "service.log"))
    try:
        yield _announced_url(process)
    finally:
        process.stop(wait=2.0)


def _announced_url(process: ManagedProcess) -> str:
    deadline = time.monotonic() + _SERVICE_LIMIT
    while True:
        first, newline, _ = process.output().partition("\n")
        if newline and first.startswith("http://"):
            return first
        if process.poll() is not None or time.monotonic() > deadline:
            log = process.program.log
            raise InfrastructureError(f"the demand service did not start; end of {log}:\n{process.tail()}")
        time.sleep(0.02)


def _client(settings: Settings) -> Extension:
    """The application in this process; imported only now, since it takes its settings from the environment then."""
    app: Any = importlib.import_module("workers.app").app
    extension = extension_of(app)
    if extension is None or extension.settings.state_dir != settings.state_dir:
        raise ConfigurationError("workers.app was imported before the demo began; start it in a process of its own")
    return extension
