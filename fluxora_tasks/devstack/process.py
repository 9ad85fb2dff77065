"""One child process: a session of its own, ended together with us, nothing left behind (devstack layer)."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fluxora_tasks.errors import InfrastructureError

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how.

    Attributes:
        name: Word for messages (``worker``).
        arguments: Program and its arguments; no shell.
        log: File that its output is appended to.
        environment: The whole environment; ``None``: ours.
        directory: Working directory; ``None``: ours.
        user: Account to run as, where we are root; ``None``: ours.
        death_signal: What the kernel sends it when we die, however that happens (Linux only).
        inherited: Open file descriptors that it gets.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    directory: Path | None = None
    user: str | None = None
    death_signal: signal.Signals = signal.SIGTERM
    inherited: Sequence[int] = ()


class ManagedProcess:
    """A running :class:`Program`.

    Start it from the main thread: the parent-death signal fires when the *thread* that forked ends.

    Raises:
        InfrastructureError: the program cannot be started.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._log_start = program.log.stat().st_size if program.log.exists() else 0
        self._popen = _launch(program)

    @property
    def name(self) -> str:
        """The program's word for messages."""
        return self.program.name

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its session and process group."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Exit code, negative for a signal; ``None`` while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """What it has written since it was started."""
        with self.program.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 12) -> str:
        """The last lines it has written."""
        return "\n".join(self.output()[-_TAIL_BYTES:].rstrip().splitlines()[-lines:])

    def terminate(self, term: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; returns at once."""
        if self.poll() is None:
            self._popen.send_signal(term)

    def kill(self) -> None:
        """End it and every process of its session at once."""
        self._kill_group()
        self._popen.wait()

    def stop(self, term: signal.Signals = signal.SIGTERM, wait: float = 10.0) -> int:
        """
        Ask it to end, wait, then end by force whatever is left of its session.

        Args:
            term: The polite signal.
            wait: Seconds it has for that.

        Returns:
            The exit code, negative for a signal.
        """
        self.terminate(term)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(wait)
        self._kill_group()
        return self._popen.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _launch(program: Program) -> subprocess.Popen[bytes]:
    """Start the program with its output in the log."""
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603  our own programs, never through a shell
            list(program.arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=program.environment,
            cwd=program.directory,
            start_new_session=True,
            pass_fds=tuple(program.inherited),
            preexec_fn=_birth(program.death_signal),
            user=program.user,
            group=program.user,
            extra_groups=None if program.user is None else [],
        )
    except OSError as exc:
        raise InfrastructureError(f"{program.name} cannot be started: {exc}") from exc
    finally:
        os.close(log)


def _birth(death_signal: signal.Signals) -> Callable[[], None]:
    """What the child does before it becomes the program: hear signals, and bind its life to ours."""
    # loaded before the fork, where loading is not safe
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        # blocked and ignored signals are inherited, and would make it deaf to its end
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
