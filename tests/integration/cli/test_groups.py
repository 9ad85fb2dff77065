"""Groups from the command line, on a real ledger; both programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.cli.programs import run
from tests.letters import letter

pytestmark = pytest.mark.integration

PARSE = Fingerprint("frame", ("type=builtins.ValueError", "at=demand.ingest:parse"))
STORE = Fingerprint("frame", ("type=builtins.KeyError", "at=demand.ingest:store"))


@pytest.fixture
def ledger(environment: dict[str, str]) -> Iterator[Ledger]:
    """Two groups: two records of one, a hostile one of the other."""
    engine = open_engine(environment["FLUXORA_LEDGER_URL"])
    upgrade(engine)
    ledger = Ledger(engine)
    ledger.ingest(
        [
            letter("m1", at=1, fingerprint=PARSE),
            letter("m2", at=2, fingerprint=PARSE),
            letter("m3", at=3, fingerprint=STORE, message="no \u202e<b>key\x1b[2J"),
        ]
    )
    yield ledger
    engine.dispose()


@pytest.mark.parametrize("program", ["fluxora", "celery"])
def test_groups_are_listed_and_explained(program: str, environment: dict[str, str], ledger: Ledger) -> None:
    """Newest failure first, in pages; one group says what its failures have in common."""
    page = run(program, "groups", "list", "--limit", "1", "--json", environment=environment).document()
    assert (page["items"][0]["id"], page["total"]) == (STORE.group_id, 2)
    following = run(program, "groups", "list", "--cursor", page["next"], "--json", environment=environment).document()
    assert [(item["id"], item["pending"], item["failures"]) for item in following["items"]] == [(PARSE.group_id, 2, 2)]
    assert following["next"] is None

    text = run(program, "groups", "list", environment=environment).out
    assert "\\u202e" in text
    assert "\x1b" not in text
    shown = run(program, "groups", "show", PARSE.group_id[:6], environment=environment).out
    assert "Raised in: demand.ingest:parse" in shown
    assert "2 pending" in shown


def test_what_is_said_of_a_group(environment: dict[str, str], ledger: Ledger) -> None:
    """Each word is kept with who said it and why; what cannot be said is refused, code 4."""

    def say(*words: str) -> tuple[int, dict[str, str]]:
        said = run("fluxora", "groups", *words, "--actor", "ann", "--json", environment=environment)
        return said.code, said.document()["items"][0]

    code, result = say("acknowledge", PARSE.group_id, "--reason", "on it")
    assert (code, result["status"]) == (0, "acknowledged")
    group = run("fluxora", "groups", "show", PARSE.group_id, "--json", environment=environment).document()
    assert (group["state"], group["actor"], group["reason"]) == ("acknowledged", "ann", "on it")
    assert say("acknowledge", PARSE.group_id, "--reason", "again")[0] == 4
    assert say("resolve", PARSE.group_id, "--reason", "mended")[1]["status"] == "resolved"
    ledger.ingest([letter("m4", run="later", at=40 * 365 * 86_400, fingerprint=PARSE)])
    regressed = run("fluxora", "groups", "list", "--state", "regressed", "--json", environment=environment).document()
    assert [item["id"] for item in regressed["items"]] == [PARSE.group_id]
    assert say("ignore", PARSE.group_id, "--reason", "noise")[1]["status"] == "ignored"
    assert say("reopen", PARSE.group_id, "--reason", "no noise")[1]["status"] == "open"
    assert say("resolve", "ffffffffffffffff", "--reason", "x")[1]["outcome"] == "unknown"


def test_groups_that_are_one(environment: dict[str, str], ledger: Ledger) -> None:
    """They show under one id, to which the old one leads; and it can be taken back."""

    def groups(*words: str) -> tuple[int, dict[str, Any]]:
        ended = run("fluxora", "groups", *words, "--json", environment=environment)
        return ended.code, ended.document()

    reason = ("--reason", "one cause", "--actor", "ann")
    code, said = groups("merge", STORE.group_id[:6], "--into", PARSE.group_id[:6], *reason)
    assert (code, said["items"][0]["outcome"]) == (0, "done")

    assert [(item["id"], item["pending"]) for item in groups("list")[1]["items"]] == [(PARSE.group_id, 3)]
    assert groups("show", STORE.group_id)[1]["merged"] == [STORE.group_id]
    page = run("fluxora", "dead", "list", "--filter", f"group:{STORE.group_id}", "--json", environment=environment)
    assert page.document()["total"] == 3
    assert groups("merge", STORE.group_id, "--into", PARSE.group_id, *reason)[0] == 4
    assert STORE.group_id in run("fluxora", "groups", "show", PARSE.group_id, environment=environment).out

    assert groups("unmerge", STORE.group_id[:6], *reason)[0] == 0
    assert groups("list")[1]["total"] == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("merge", "ffffffff", "--reason", "x"), 2, "--into"),
        (("merge", PARSE.group_id, "--into", "ffffffff", "--reason", "x"), 4, "no group has the id 'ffffffff'"),
        (("unmerge", "ffffffff"), 2, "--reason TEXT is required"),
        (("show", "ffffffff"), 4, "no group has the id 'ffffffff'"),
        (("show", "ff"), 4, "too short"),
        (("list", "--state", "closed"), 2, "states are open, acknowledged"),
        (("list", "--cursor", "x"), 2, "not a cursor of this list"),
        (("resolve", "ffffffff"), 2, "--reason TEXT is required"),
    ],
)
def test_bad_input_is_one_line(
    environment: dict[str, str], ledger: Ledger, words: tuple[str, ...], code: int, said: str
) -> None:
    """What is wrong, and what to do."""
    ended = run("fluxora", "groups", *words, environment=environment)

    assert ended.code == code
    assert said in ended.err


def test_what_was_ended_by_hand_comes_back(environment: dict[str, str], ledger: Ledger) -> None:
    """dead restore takes what was discarded, and nothing else."""
    run("fluxora", "dead", "discard", "--filter", "task:demand.*", "--reason", "x", environment=environment)

    page = run("fluxora", "dead", "restore", "--all", "--reason", "too early", "--json", environment=environment)

    assert {item["status"] for item in page.document()["items"]} == {"PENDING"}
    assert page.document()["total"] == 3
    again = run("fluxora", "dead", "release", "--all", "--reason", "x", "--json", environment=environment)
    assert (again.code, again.document()["total"]) == (0, 0)
