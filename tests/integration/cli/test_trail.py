"""The audit from the command line: who changed what, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.cli.programs import run
from tests.letters import letter

pytestmark = pytest.mark.integration


@pytest.fixture
def told(environment: dict[str, str]) -> Iterator[list[str]]:
    """Three records, of which ada discarded one; their ids."""
    engine = open_engine(environment["FLUXORA_LEDGER_URL"])
    upgrade(engine)
    ledger = Ledger(engine)
    notes = [letter(f"m{number}") for number in range(3)]
    ledger.ingest(notes)
    ledger.discard([notes[0].dead_id], Actor("ada", "not \x1b[2Jwanted"))
    yield [note.dead_id for note in notes]
    engine.dispose()


@pytest.mark.parametrize("program", ["fluxora", "celery"])
def test_pages_cover_everything_once(program: str, environment: dict[str, str], told: list[str]) -> None:
    """Newest first, in pages."""
    first = run(program, "audit", "list", "--limit", "3", "--json", environment=environment).document()
    rest = run(program, "audit", "list", "--cursor", first["next"], "--json", environment=environment).document()

    entries = [*first["items"], *rest["items"]]
    assert [entry["event"] for entry in entries] == ["discarded", "failed", "failed", "failed"]
    assert (entries[0]["actor"], entries[0]["from_status"], entries[0]["to_status"]) == ("ada", "PENDING", "DISCARDED")
    assert rest["next"] is None
    assert "\x1b" not in run(program, "audit", "list", environment=environment).out


def test_what_is_asked_for(environment: dict[str, str], told: list[str]) -> None:
    """By record, person, deed and time."""

    def found(*words: str) -> list[str]:
        page = run("fluxora", "audit", "list", *words, "--json", environment=environment).document()
        return [entry["event"] for entry in page["items"]]

    assert found("--about", told[0]) == ["discarded", "failed"]
    assert found("--actor", "ada") == ["discarded"]
    assert found("--event", "failed", "--limit", "2") == ["failed", "failed"]
    assert found("--since", "2999-01-01") == []
    assert len(found("--until", "2999-01-01T00:00:00Z")) == 4


def test_an_export_is_json_lines(environment: dict[str, str], told: list[str]) -> None:
    """Oldest first, with the names that other systems know."""
    ended = run("fluxora", "audit", "export", environment=environment)
    lines = [json.loads(line) for line in ended.out.splitlines()]

    assert [line["event"]["action"] for line in lines] == ["failed", "failed", "failed", "discarded"]
    assert (lines[-1]["user"]["name"], lines[-1]["fluxora"]["dead_letter"]) == ("ada", told[0])
    assert lines[-1]["@timestamp"].endswith("Z")


@pytest.mark.parametrize("words", [("list", "--cursor", "x"), ("list", "--since", "soon"), ("lst",)])
def test_bad_input_is_told(environment: dict[str, str], told: list[str], words: tuple[str, ...]) -> None:
    """Code 2, nothing on standard output."""
    ended = run("fluxora", "audit", *words, environment=environment)

    assert (ended.code, ended.out) == (2, "")
