"""The sealed original of a dead letter, and that nobody sees it unnoticed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.cli.programs import ROOT, command, run
from tests.letters import letter

pytestmark = pytest.mark.integration

PICKLE = b"\x80\x04cos\nsystem\n"


@pytest.fixture
def ids(environment: dict[str, str]) -> Iterator[list[str]]:
    """A JSON message, and one that must not be loaded."""
    engine = open_engine(environment["FLUXORA_LEDGER_URL"])
    upgrade(engine)
    notes = [letter("m1"), replace(letter("m2"), payload=Payload(PICKLE, "application/x-python-serialize"))]
    Ledger(engine).ingest(notes)
    yield [note.dead_id for note in notes]
    engine.dispose()


def test_looking_is_audited(environment: dict[str, str], ids: list[str]) -> None:
    """The original is shown, and the audit says to whom and why."""
    words = ("dead", "reveal", ids[0][:12], "--reason", "ticket 7", "--actor", "ann", "--json")
    shown = run("fluxora", *words, environment=environment).document()

    assert shown["body"].startswith('[["2000-06-05"]')
    assert shown["headers"]["id"] == "m1"
    trail = run("fluxora", "audit", "list", "--event", "revealed", "--json", environment=environment).document()
    assert [(entry["dead_letter_id"], entry["actor"], entry["reason"]) for entry in trail["items"]] == [
        (ids[0], "ann", "ticket 7")
    ]


def test_nothing_is_shown_without_a_reason(environment: dict[str, str], ids: list[str]) -> None:
    """Code 2, and nothing on standard output."""
    ended = run("fluxora", "dead", "reveal", ids[0], environment=environment)

    assert (ended.code, ended.out) == (2, "")


def test_bytes_are_shown_and_never_loaded(environment: dict[str, str], ids: list[str]) -> None:
    """A pickle comes out as text that says nothing to a terminal, or raw, byte for byte."""
    text = run("fluxora", "dead", "reveal", ids[1], "--reason", "x", environment=environment).out
    assert "Body, in base64" in text
    raw = subprocess.run(
        command("fluxora", "dead", "reveal", ids[1], "--reason", "x", "--raw"),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert (raw.returncode, raw.stdout) == (0, PICKLE)
