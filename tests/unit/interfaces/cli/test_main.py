"""`fluxora` itself: its app, its version, its help, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from click.testing import CliRunner

import fluxora_tasks
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.interfaces.cli.application import load_app
from fluxora_tasks.interfaces.cli.main import main
from tests.unit.interfaces.cli.fakes import Terminal, terminal_over

ALL_COMMANDS = sorted(main.commands)


def test_version() -> None:
    """It names the program and the release."""
    result = CliRunner().invoke(main, ["--version"], prog_name="fluxora")
    assert result.output == f"fluxora, version {fluxora_tasks.__version__}\n"


def test_a_slip_is_answered_with_the_near_command() -> None:
    """A typing error costs no look at the help."""
    result = CliRunner().invoke(main, ["dead", "reply"])
    assert result.exit_code == 2
    assert "Did you mean" in result.output
    assert "replay" in result.output


@pytest.mark.parametrize(
    ("short", "whole"), [(["ops", "ls"], ["operations", "list"]), (["dead", "ls"], ["dead", "list"])]
)
def test_short_names(short: list[str], whole: list[str]) -> None:
    """What operators of other tools type."""
    helps = [CliRunner().invoke(main, [*words, "--help"], prog_name="fluxora") for words in (short, whole)]
    assert [help.exit_code for help in helps] == [0, 0]
    assert helps[0].output.splitlines()[2:] == helps[1].output.splitlines()[2:]


def test_the_app_stands_before_the_command() -> None:
    """Where it was put after it, that is said."""
    result = CliRunner().invoke(main, ["dead", "list", "--app", "mine"])
    assert result.exit_code == 2
    assert "fluxora --app MODULE" in result.output


def test_a_slip_with_json_is_a_document() -> None:
    """A program that mistypes gets a document too."""
    result = CliRunner().invoke(main, ["dead", "lst", "--json"])
    assert result.exit_code == 2
    assert result.stdout.startswith('{"error": {"code": "usage"')
    assert result.stderr == ""


@pytest.mark.parametrize("words", [[], *([name] for name in ALL_COMMANDS if name != "flower"), ["dead", "replay"]])
def test_help_loads_no_library(words: list[str]) -> None:
    """Help is printed at once: neither SQLAlchemy nor rich nor celery's worker is imported for it."""
    script = (
        "import sys\n"
        "from fluxora_tasks.interfaces.cli.main import main\n"
        f"try: main({[*words, '--help']!r})\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'sqlalchemy', 'alembic', 'rich', 'flower', 'celery.bin'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Usage:" in ended.stdout
    assert "Exit codes:" in ended.stdout


def test_an_app_without_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told the one line that is missing."""
    terminal = terminal_over(monkeypatch, app=Celery("bare"))
    result = terminal.run("dead", "list")
    assert result.exit_code == 2
    assert "fluxora_tasks.install(app)" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_app_comes_from_the_environment(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option over FLUXORA_APP over workers.app."""
    asked: list[str] = []

    def load(name: str) -> Celery:
        asked.append(name)
        raise ConfigurationError("stop here")

    monkeypatch.setattr("fluxora_tasks.interfaces.cli.application.load_app", load)
    terminal.run("dead", "list")
    terminal.run("dead", "list", FLUXORA_APP="mine.app")
    terminal.run("--app", "other.app", "dead", "list", FLUXORA_APP="mine.app")
    assert asked == ["workers.app", "mine.app", "other.app"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("no_such_module_here", None, "no module 'no_such_module_here'"),
        ("needy", "import no_such_library", "needs the module 'no_such_library'"),
        ("broken", "x = 1 / 0", "ZeroDivisionError: division by zero ("),
        ("wrong", "def (", "SyntaxError"),
        ("empty", "", "empty"),
        ("empty:app", "", "app"),
        ("number:app", "app = 3", "no Celery app"),
    ],
)
def test_an_app_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, says: str
) -> None:
    """One line names what is wrong: the module, what it lacks, or where it fails."""
    if text is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, name.partition(":")[0], raising=False)
    with pytest.raises(ConfigurationError) as refused:
        load_app(name)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_app_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `celery -A`, a module of the working directory is found."""
    (tmp_path / "found_here.py").write_text("from celery import Celery\napp = Celery('found')\n")
    monkeypatch.chdir(tmp_path)
    assert load_app("found_here").main == "found"
