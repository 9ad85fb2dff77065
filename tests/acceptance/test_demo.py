"""`fluxora demo` end to end: the whole way works, twice in a row, and however it ends nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "sent",
    "succeeded",
    "retried",
    "dead_lettered",
    "replayed",
    "resolved",
    "unresolved",
    "lost",
    "forecast_mape",
    "baseline_mape",
    "seconds",
    "refused",
    "outlooks",
    "degraded",
    "circuit",
]
#: Seconds; the demo takes about fourteen on an idle machine of two cores.
LIMIT = 90.0

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory; whatever the test left running in it is ended."""
    directory = tmp_path / "state"
    yield directory
    for pid in running_in(directory):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(state: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts demos on the state directory, as a shell would; ends those that still run."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        demo = subprocess.Popen(
            [sys.executable, "-m", "fluxora_tasks.interfaces.cli.main", "demo", "--state-dir", str(state), *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(demo)
        return demo

    yield start
    for demo in started:
        demo.kill()
        demo.communicate()


def running_in(state: Path) -> list[int]:
    """Every process whose environment or arguments name the state directory, the demo itself not counted."""
    mark = os.fsencode(state)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in told:
                found.append(int(entry.name))
    return found


def read_until(demo: subprocess.Popen[str], beginning: str) -> None:
    """Read its output up to a line that begins so."""
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"it ended before it said {beginning!r}: {demo.communicate()[1]}")


def test_the_whole_way_twice_in_a_row(start: Start, state: Path) -> None:
    """Both runs lose nothing, replay what was repaired, beat the baseline; JSON is one document and nothing else."""
    demo = start("--json")
    output, errors = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 0, output + errors
    report = json.loads(output)
    assert list(report) == KEYS
    assert errors == ""
    outlooks = report["outlooks"]
    assert (report["sent"] - outlooks, report["succeeded"] - outlooks, report["lost"]) == (225, 222, 0)
    assert (report["dead_lettered"], report["replayed"], report["resolved"], report["unresolved"]) == (3, 2, 2, 1)
    assert report["retried"] > 30
    assert report["forecast_mape"] < 0.7 * report["baseline_mape"]
    assert report["refused"] > 20
    assert 1 <= report["degraded"] < outlooks
    assert (report["circuit"][0]["current"], report["circuit"][-1]["current"]) == ("OPEN", "CLOSED")
    assert running_in(state) == []

    again = start()
    output, errors = again.communicate(timeout=LIMIT)
    assert again.returncode == 0, output + errors
    assert "As expected: nothing was lost." in output
    assert "made from the last good answer" in " ".join(output.split())
    assert "NotThere" in output
    assert output.count("CorruptedAnswer") == 2
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80 + len(str(state))
    assert running_in(state) == []


def test_ctrl_c_leaves_no_process_behind(start: Start, state: Path) -> None:
    """Interrupted while everything runs, it stops cleanly, says so in one line, and exits with 130."""
    demo = start()
    read_until(demo, "Sent")
    assert len(running_in(state)) >= 6  # demo, service, store, recorder, worker, its pool
    demo.send_signal(signal.SIGINT)
    output, errors = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 130, output + errors
    assert "interrupted" in output
    assert errors == ""
    assert running_in(state) == []


def test_ctrl_c_while_it_starts_leaves_no_process_behind(start: Start, state: Path) -> None:
    """It is as clean before everything runs."""
    demo = start()
    wait_until(lambda: (state / "demo" / "logs" / "worker.log").exists(), LIMIT, "the start of the worker")
    demo.send_signal(signal.SIGINT)
    output, errors = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 130, output + errors
    assert errors == ""
    assert running_in(state) == []


def test_an_impatient_ctrl_c_leaves_no_process_behind(start: Start, state: Path) -> None:
    """Pressed again and again, it ends all the same, and every part with it."""
    demo = start()
    wait_until(lambda: (state / "demo" / "logs" / "worker.log").exists(), LIMIT, "the start of the worker")

    def ended() -> bool:
        demo.send_signal(signal.SIGINT)
        return demo.poll() is not None

    wait_until(ended, LIMIT, "the end of the demo")
    wait_until(lambda: not running_in(state), 60, "the end of every part")


def test_a_second_demo_in_the_same_place_is_refused_and_the_first_may_be_killed(start: Start, state: Path) -> None:
    """The second says why and changes nothing; even SIGKILL of the first leaves nothing running."""
    first = start()
    read_until(first, "Started")
    second = start()
    output, errors = second.communicate(timeout=LIMIT)
    assert second.returncode == 6, output + errors
    assert "another demo is running" in errors
    assert "Traceback" not in errors
    first.kill()
    first.communicate(timeout=LIMIT)
    wait_until(lambda: not running_in(state), 60, "the end of every part")


def test_termination_is_as_clean(start: Start, state: Path) -> None:
    """SIGTERM stops everything too, with the exit code for it."""
    demo = start("--json")
    wait_until(lambda: (state / "demo" / "demand.db").exists(), LIMIT, "the first day")
    demo.terminate()
    output, errors = demo.communicate(timeout=LIMIT)
    assert (demo.returncode, output) == (143, ""), output + errors
    assert running_in(state) == []


def test_a_directory_that_is_not_the_demos_is_not_emptied(start: Start, state: Path) -> None:
    """Somebody's own files survive; one line says what to do."""
    precious = state / "demo" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("forty pages")
    demo = start()
    _, errors = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 2
    assert "move it away" in errors
    assert precious.read_text() == "forty pages"
