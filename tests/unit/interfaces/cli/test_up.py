"""`fluxora up`: ports and the text that says what runs where."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.install import install
from fluxora_tasks.interfaces.cli import up
from fluxora_tasks.interfaces.cli.main import main
from fluxora_tasks.settings import Settings


class FakeStack:
    """A stack that only remembers what was asked of it."""

    made: Any = None

    def __init__(self, settings: Settings, **options: Any) -> None:
        type(self).made = self
        self.options = options
        self.calls: list[str] = []
        self.ended: str | None = None
        self.fails: Exception | None = None
        self.flower_url = "http://127.0.0.1:5599"

    def log(self, part: str) -> Path:
        return Path(f"/state/logs/{part}.log")

    def start(self) -> None:
        self.calls.append("start")
        if self.fails:
            raise self.fails

    def wait(self) -> str | None:
        self.calls.append("wait")
        return self.ended

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture(autouse=True)
def _stack_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("small")
    install(app, Settings(broker_url="redis://ada:s3cret@host:1/0", ledger_url="sqlite://"))
    monkeypatch.setattr("fluxora_tasks.interfaces.cli.application.load_app", lambda name: app)
    monkeypatch.setattr(up, "Stack", FakeStack)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["up", *words], prog_name="fluxora")


def test_it_starts_waits_and_stops() -> None:
    """The whole course; what runs where is said, without a password."""
    result = run("--port", "5599", "--concurrency", "3")
    assert result.exit_code == 0
    assert FakeStack.made.calls == ["start", "wait", "stop"]
    assert FakeStack.made.options["concurrency"] == 3
    assert "http://127.0.0.1:5599" in result.output
    assert "redis://ada:***@host:1/0" in result.output
    assert "/state/logs/worker.log" in result.output


def test_without_flower() -> None:
    """--no-flower leaves it out."""
    run("--no-flower")
    assert FakeStack.made.options["flower_port"] is None


def test_a_part_that_ended_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is stopped, the log named, code 5."""
    monkeypatch.setattr(FakeStack, "wait", lambda self: "recorder")
    result = run("--no-flower")
    assert result.exit_code == 5
    assert "the recorder ended by itself; see /state/logs/recorder.log" in result.stderr
    assert FakeStack.made.calls == ["start", "stop"]


def test_a_start_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack cleans up after itself; the reason is one error."""

    def fail(self: FakeStack) -> None:
        raise ConfigurationError("set FLUXORA_STATE_DIR")

    monkeypatch.setattr(FakeStack, "start", fail)
    result = run("--no-flower")
    assert result.exit_code == 2
    assert result.stderr == "Error: set FLUXORA_STATE_DIR\n"


def test_ctrl_c_while_waiting_still_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the waiting, the parts are stopped."""

    def interrupted(self: FakeStack) -> str | None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeStack, "wait", interrupted)
    assert run("--no-flower").exit_code == 5
    assert FakeStack.made.calls == ["start", "stop"]


def test_a_taken_port_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """The next free one is used, and said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = up.choose_port(port)
    assert chosen not in (None, port)
    assert f"Port {port} is taken" in capsys.readouterr().out


def test_flower_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest goes on without it, and the extra is named."""
    monkeypatch.setattr(up, "find_spec", lambda name: None)
    assert up.choose_port(5555) is None
    assert "fluxora-tasks[flower]" in capsys.readouterr().out


def test_the_embedded_store_is_named() -> None:
    """Without a broker URL it is the embedded Valkey, by name."""
    stack: Any = SimpleNamespace(flower_url=None, log=lambda part: Path(part))
    settings = Settings()
    text = up.summary(stack, settings, settings.effective_broker_url, 2)
    assert "embedded Valkey" in text
    assert "not started" in text
