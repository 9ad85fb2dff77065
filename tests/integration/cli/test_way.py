"""The whole way with the commands alone: fail, list, show, replay, repair, replay, resolve, discard."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.programs import APP, ROOT, command, ended, run
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

LONG = "Überlänge, 電力 " * 2_000


@pytest.fixture
def send(environment: dict[str, str]) -> Callable[..., None]:
    """Sends the app's task from a process of its own, as a producer does."""

    def send(*readings: object) -> None:
        script = f"from {APP} import read_meter; read_meter.delay(*{readings!r})"
        assert ended([sys.executable, "-c", script], environment).code == 0

    return send


def test_the_whole_way(
    environment: dict[str, str],
    send: Callable[..., None],
    celery_processes: CeleryProcesses,
    tmp_path: Path,
) -> None:
    """A failure is listed and shown; a replay before the repair fails again, after it resolves; both programs."""
    celery_processes.recorder(APP, environment)
    celery_processes.worker(APP, environment, "--pool", "solo")
    meter = tmp_path / "meter"
    send(str(meter), {"deep": [LONG]})

    def listed() -> list[dict[str, object]]:
        page = run("fluxora", "dead", "list", "--json", environment=environment)
        return page.document()["items"] if page.code == 0 else []

    (item,) = wait_until(listed, 20, "a dead letter")
    assert (item["status"], item["kind"], item["task"]) == ("PENDING", "non_retryable", "read_meter")
    short = str(item["id"])[:8]

    shown = run("celery", "dead", "show", short, "--json", environment=environment).document()
    path, nested = shown["args"]
    text, _, mark = nested["deep"][0].partition("… [")
    assert path == str(meter)
    assert LONG.startswith(text)
    assert mark == f"{len(LONG)} characters]", "a long text is cut, and says so"
    assert "NonRetryableError" in shown["traceback"]
    text = run("celery", "dead", "show", short, environment=environment).out
    assert "\\x1b[31m" in text
    assert "\x1b" not in text

    failed = run(
        "celery", "dead", "replay", short, "--reason", "try", "--wait", "20", "--json", environment=environment
    )
    assert failed.code == 3, failed
    assert failed.document()["items"][0]["status"] in ("PENDING", "FAILED")

    meter.touch()
    done = run("fluxora", "dead", "replay", short, "--reason", "repaired", "--wait", "20", environment=environment)
    assert done.code == 0, done
    assert f"{short}  RESOLVED" in done.out
    assert "1 of 1 done: 1 resolved" in done.out

    again = run("fluxora", "dead", "replay", short, "--reason", "again", "--json", environment=environment)
    assert again.code == 4, again
    history = run("fluxora", "dead", "show", short, "--json", environment=environment).document()["history"]
    assert [entry["detail"] for entry in history if "repaired" in entry["detail"]]


def test_the_list_on_a_terminal(
    environment: dict[str, str],
    send: Callable[..., None],
    celery_processes: CeleryProcesses,
    tmp_path: Path,
) -> None:
    """On 80 columns no line is longer, nothing wraps, and the only escapes are ours."""
    celery_processes.recorder(APP, environment)
    celery_processes.worker(APP, environment, "--pool", "solo")
    send(str(tmp_path / ("a-rather-long-name-" * 8)))
    wait_until(lambda: "read_meter" in run("fluxora", "dead", "list", environment=environment).out, 20, "a row")
    text = on_a_terminal(command("fluxora", "dead", "list"), environment)
    lines = text.splitlines()
    assert len(lines) == 4, text
    assert lines[0].split() == ["ID", "STATUS", "TASK", "ERROR", "TRIES", "AGE"]
    assert all(len(line) <= 80 for line in lines)
    assert "PENDING" in lines[1]
    assert "…" in lines[1]


def on_a_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """What a process prints on a terminal of 80 columns, colours taken off."""
    ours, theirs = pty.openpty()
    variables = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1"}
    with subprocess.Popen(
        arguments, env={**os.environ, **variables, **environment}, cwd=ROOT, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:
                break
            if not part:
                break
            printed += part
        process.wait(30)
    os.close(ours)
    return printed.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\r\n", "\n")
