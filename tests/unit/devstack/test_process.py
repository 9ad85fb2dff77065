"""Children end when they should, and nothing of them stays."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from fluxora_tasks.devstack.process import ManagedProcess, Program
from fluxora_tasks.errors import InfrastructureError
from tests.processes import is_running
from tests.waiting import wait_until

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
POLITE = "import signal; print('up', flush=True); signal.sigwait({signal.SIGTERM}); print('bye', flush=True)"
BLOCKED = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"


def python(code: str, log: Path) -> ManagedProcess:
    return ManagedProcess(Program("child", [sys.executable, "-c", code], log))


def test_a_polite_child_ends_by_itself(tmp_path: Path) -> None:
    """The signal is enough: exit code 0, and its last words are in the log."""
    child = python(BLOCKED + POLITE, tmp_path / "log")
    wait_until(lambda: "up" in child.output())
    assert child.stop() == 0
    assert child.tail() == "up\nbye"


def test_a_stubborn_child_is_killed_with_its_own_children(tmp_path: Path) -> None:
    """What does not end in time is ended by force, the whole session."""
    child = python(STUBBORN, tmp_path / "log")
    grandchild = int(wait_until(lambda: child.output().strip()))
    assert child.stop(wait=0.2) == -signal.SIGKILL
    wait_until(lambda: not is_running(grandchild))


def test_orphans_of_a_dead_child_are_ended(tmp_path: Path) -> None:
    """A child that was killed from outside leaves its own children; stop ends those too."""
    child = python(STUBBORN, tmp_path / "log")
    grandchild = int(wait_until(lambda: child.output().strip()))
    child.terminate(signal.SIGKILL)
    wait_until(lambda: child.poll() is not None)
    child.stop()
    wait_until(lambda: not is_running(grandchild))


def test_the_output_is_only_that_of_this_run(tmp_path: Path) -> None:
    """A log is continued, but the tail in an error message is of this start."""
    (tmp_path / "log").write_text("an older run\n")
    child = python("print('this run')", tmp_path / "log")
    wait_until(lambda: child.poll() is not None)
    assert child.tail() == "this run"
    assert (tmp_path / "log").read_text() == "an older run\nthis run\n"


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    """One line with its name, no traceback of subprocess."""
    with pytest.raises(InfrastructureError, match=r"^the clock cannot be started: .*no-such-program"):
        ManagedProcess(Program("the clock", ["no-such-program"], tmp_path / "log"))
