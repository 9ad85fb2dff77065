"""What is wrong is said in one line, with the code of the design, by both programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.cli.programs import ROOT, ended, run

pytestmark = pytest.mark.integration

BOTH = pytest.mark.parametrize("program", ["fluxora", "celery"])
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@pytest.fixture
def ledger(environment: dict[str, str]) -> dict[str, str]:
    """The environment with a ledger whose schema is there."""
    script = (
        "import os\n"
        "from fluxora_tasks.ledger.database import open_engine, upgrade\n"
        "upgrade(open_engine(os.environ['FLUXORA_LEDGER_URL']))\n"
    )
    assert ended([sys.executable, "-c", script], environment).code == 0
    return environment


@pytest.mark.parametrize(
    ("program", "changes", "words", "code", "says"),
    [
        ("fluxora", {}, ("dead", "show", "0000beef"), 4, "0000beef"),
        ("celery", {}, ("dead", "show", "0000beef"), 4, "0000beef"),
        ("fluxora", {}, ("dead", "list", "--filter", "nonsense:1"), 2, "nonsense"),
        ("fluxora", {}, ("dead", "list", "--cursor", "garbage"), 2, "cursor"),
        ("fluxora", {"FLUXORA_BROKER_URL": "nonsense"}, ("dead", "list"), 2, "FLUXORA_BROKER_URL"),
        ("celery", {"FLUXORA_BROKER_URL": "nonsense"}, ("dead", "list"), 2, "FLUXORA_BROKER_URL"),
        ("celery", {"FLUXORA_BROKER_URL": "nonsense"}, ("worker",), 2, "FLUXORA_BROKER_URL"),
        ("celery", {"FLUXORA_LEDGER_URL": "mysql://x"}, ("dead", "list"), 2, "FLUXORA_LEDGER_URL"),
        ("fluxora", {"FLUXORA_MAX_ATTEMPTS": "many"}, ("dead", "list"), 2, "FLUXORA_MAX_ATTEMPTS"),
        ("celery", {"FLUXORA_LEDGER_URL": "sqlite:////nowhere/at/all.db"}, ("dead", "list"), 5, "ledger"),
        (
            "fluxora",
            {"FLUXORA_LEDGER_URL": "postgresql://ada:s3cret@127.0.0.1:1/x"},
            ("dead", "list"),
            5,
            "FLUXORA_LEDGER_URL",
        ),
        ("fluxora", {"FLUXORA_REDIS_URL": NOBODY_LISTENS}, ("audit",), 5, "FLUXORA_REDIS_URL"),
        ("celery", {"FLUXORA_BROKER_URL": NOBODY_LISTENS}, ("audit",), 5, "FLUXORA_BROKER_URL"),
    ],
)
def test_one_line(
    ledger: dict[str, str], program: str, changes: dict[str, str], words: tuple[str, ...], code: int, says: str
) -> None:
    """A line on standard error that names what to correct; no traceback, no password."""
    told = run(program, *words, environment={**ledger, **changes})
    assert told.code == code, told
    assert "Traceback" not in told.err + told.out
    assert "s3cret" not in told.err + told.out
    assert says in told.err
    assert told.err.count("\n") == 1, told.err


@BOTH
def test_a_usage_error_names_what_is_missing(ledger: dict[str, str], program: str) -> None:
    """click's own form, code 2; also for a slip in a command's name."""
    told = run(program, "dead", "replay", "0000beef", environment=ledger)
    assert told.code == 2
    assert "--reason" in told.err
    told = run(program, "dead", "lits", environment=ledger)
    assert told.code == 2
    assert "Did you mean" in told.err


@BOTH
def test_the_same_as_a_document(ledger: dict[str, str], program: str) -> None:
    """With --json, errors of every kind are one document on standard output."""
    for changes, words, code in (
        ({}, ("dead", "show", "0000beef"), 4),
        ({}, ("dead", "show"), 2),
        ({"FLUXORA_BROKER_URL": "nonsense"}, ("dead", "list"), 2),
        ({"FLUXORA_LEDGER_URL": "sqlite:////nowhere/at/all.db"}, ("dead", "list"), 5),
    ):
        told = run(program, *words, "--json", environment={**ledger, **changes})
        assert told.code == code, told
        assert set(told.document()["error"]) == {"code", "message"}


@BOTH
def test_no_schema_yet(environment: dict[str, str], program: str) -> None:
    """It says that the recorder makes it."""
    told = run(program, "dead", "list", environment=environment)
    assert told.code == 5
    assert "recorder" in told.err


@BOTH
def test_an_app_without_install(environment: dict[str, str], program: str) -> None:
    """It is told the line that is missing."""
    told = run(program, "dead", "list", environment=environment, app="tests.integration.cli.bare")
    assert told.code == 2
    assert "fluxora_tasks.install(app)" in told.err


def test_no_app(environment: dict[str, str], tmp_path: Path) -> None:
    """A module that is not there is named."""
    told = run("fluxora", "dead", "list", environment=environment, app="nowhere.app", directory=tmp_path)
    assert told.code == 2
    assert "no module 'nowhere'" in told.err
    assert told.err.count("\n") == 1


def test_a_closed_pipe_is_no_error(ledger: dict[str, str]) -> None:
    """`… | head` ends quietly."""
    script = f"{sys.executable} -m fluxora_tasks.interfaces.cli.main --app tests.integration.cli.app dead list | true"
    told = ended(["bash", "-c", script], ledger, ROOT)
    assert (told.code, told.err) == (0, "")


def test_the_traceback_is_there_on_request(ledger: dict[str, str]) -> None:
    """FLUXORA_DEBUG=1 adds it to standard error."""
    told = run("fluxora", "dead", "show", "0000beef", environment={**ledger, "FLUXORA_DEBUG": "1"})
    assert told.code == 4
    assert "Traceback" in told.err
