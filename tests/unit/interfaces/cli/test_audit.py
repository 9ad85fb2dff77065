"""`audit` over a report in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fluxora_tasks.errors import BrokerUnavailable
from fluxora_tasks.interfaces.cli import audit
from fluxora_tasks.interfaces.cli.main import main
from fluxora_tasks.journal import OpenEntry
from fluxora_tasks.operations.audit import AuditReport
from tests.unit.interfaces.cli.fakes import installed_app


def report(**fields: Any) -> AuditReport:
    """A report in which everything is in order."""
    given: dict[str, Any] = {
        "sent": 100,
        "succeeded": 90,
        "ignored": 0,
        "unsent": 0,
        "recorded": {"PENDING": 4, "RESOLVED": 3},
        "absent": 0,
        "in_flight": 6,
        "lost": (),
        "undecided": (),
        "retried": 12,
        "gaps": 0,
    }
    return AuditReport(**{**given, **fields})


def run(monkeypatch: pytest.MonkeyPatch, found: AuditReport | Exception, *words: str) -> Result:
    def answer(*_: Any) -> AuditReport:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("fluxora_tasks.interfaces.cli.application.load_app", lambda name: installed_app())
    monkeypatch.setattr(audit, "open_existing_ledger", lambda settings: None)
    monkeypatch.setattr(audit, "run_audit", answer)
    return CliRunner().invoke(main, ["audit", *words])


def test_nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code 0, and every figure on a line of its own."""
    result = run(monkeypatch, report())
    assert result.exit_code == 0, result.output
    lines = {line.rsplit(maxsplit=1)[0].strip(): line.rsplit(maxsplit=1)[1] for line in result.stdout.splitlines()}
    assert lines["sent"] == "100"
    assert lines["in the ledger, PENDING"] == "4"
    assert lines["waiting or running"] == "6"
    assert lines["lost"] == "0"


def test_dropped_copies_have_a_line_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no messages: nothing of the sum changes, and without any there is no line."""
    line = "(second copies of replays dropped)"
    assert line not in run(monkeypatch, report()).stdout
    shown = run(monkeypatch, report(duplicates_dropped=2))
    assert shown.exit_code == 0
    assert any(line in printed and printed.split()[-1] == "2" for printed in shown.stdout.splitlines())
    assert json.loads(run(monkeypatch, report(duplicates_dropped=2), "--json").stdout)["duplicates_dropped"] == 2


def test_lost_messages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code 3, each by its id and task; the table names the first, the document all."""
    lost = tuple(OpenEntry(f"id-{number:03}", "read\x1b[31m", 61.5) for number in range(30))
    result = run(monkeypatch, report(lost=lost))
    assert result.exit_code == 3
    assert "id-000" in result.stdout
    assert "read\\x1b[31m" in result.stdout
    assert "… 10 more; --json names all" in result.stdout
    document = json.loads(run(monkeypatch, report(lost=lost), "--json").stdout)
    assert document["lost"] == 30
    assert document["lost_messages"][29] == {"message_id": "id-029", "task": "read\x1b[31m", "age": 61.5}
    assert document["recorded"] == {"PENDING": 4, "RESOLVED": 3}


def test_records_that_are_gone_are_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ledger, or an emptied one: the sums would not add up; code 3, and what to look at."""
    result = run(monkeypatch, report(absent=2))
    assert result.exit_code == 3
    assert "recorded, but not in this ledger" in result.stdout
    assert "FLUXORA_LEDGER_URL" in result.stdout
    assert json.loads(run(monkeypatch, report(absent=2), "--json").stdout)["absent"] == 2


def test_what_cannot_be_told_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that may be in a queue nobody can read are not called lost; sends without a note are said."""
    result = run(monkeypatch, report(undecided=(OpenEntry("id-1", "read", 5.0),), gaps=2))
    assert result.exit_code == 0
    assert "audit again" in result.stdout
    assert "2 sends" in result.stdout


def test_a_part_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code 5 and one line."""
    result = run(monkeypatch, BrokerUnavailable("the broker is away; check FLUXORA_BROKER_URL"))
    assert (result.exit_code, result.stderr) == (5, "Error: the broker is away; check FLUXORA_BROKER_URL\n")
