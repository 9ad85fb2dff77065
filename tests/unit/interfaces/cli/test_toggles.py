"""`toggles …` over a store in memory whose clock the test holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.interfaces.cli import toggles
from fluxora_tasks.operations.toggles import ToggleOperations
from tests.unit.interfaces.cli.fakes import Terminal, installed_app, terminal_of

NOON_MS = round(datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp() * 1000)

KEYS = {"id", "kind", "name", "value", "since", "until", "by", "why", "members"}
LINE_KEYS = {"at", "event", "kind", "name", "from", "to", "actor", "why", "until"}

WHY = ("--reason", "heat wave", "--actor", "ada")


@pytest.fixture
def store() -> MemoryToggleStore:
    """At noon, nothing set."""
    return MemoryToggleStore(lambda: NOON_MS)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, store: MemoryToggleStore) -> Terminal:
    """`fluxora` over that store."""
    monkeypatch.setattr(toggles, "open_toggles", lambda state: ToggleOperations(store))
    return terminal_of(monkeypatch, installed_app())


def test_setting(terminal: Terminal) -> None:
    """For an hour unless it is said otherwise; the list has its public shape."""
    page = terminal.document("toggles", "set", "images", "OFF", *WHY)
    assert page["items"] == [
        {"id": "images", "outcome": "done", "status": "off", "detail": "until 2026-03-01 13:00:00 UTC"}
    ]
    page = terminal.document("toggles", "list")
    assert (set(page), set(page["items"][0])) == ({"items", "total", "next"}, KEYS)
    assert (page["items"][0]["by"], page["items"][0]["until"]) == ("ada", "2026-03-01T13:00:00.000000Z")


def test_a_list_for_people(terminal: Terminal) -> None:
    """What is set, until when, by whom and why; of a level what it sets. Nothing is said, too."""
    assert terminal.run("toggles", "list").stdout == "No toggle is set.\n"
    terminal.run("toggles", "set", "mode:shop.price", "25%", "--for", "10m", *WHY)
    level = ("level:brownout", "defined", "--sets", "toggle:images=off", "--sets", "mode:shop.price=always")
    terminal.run("toggles", "set", *level, "--for", "unlimited", *WHY)
    lines = terminal.run("toggles", "list").stdout.splitlines()
    assert lines[1].split()[:4] == ["level:brownout", "defined", "-", "ada"]
    assert lines[1].endswith("heat wave toggle:images=off mode:shop.price=always")
    assert lines[2].split()[:4] == ["mode:shop.price", "25%", "2026-03-01", "12:10:00"]


def test_history(terminal: Terminal) -> None:
    """Newest first, under the ids that commands take."""
    terminal.run("toggles", "set", "mode:shop.price", "always", *WHY)
    terminal.run("toggles", "unset", "mode:shop.price", *WHY)
    page = terminal.document("toggles", "history", "--limit", "1")
    assert (page["total"], set(page["items"][0])) == (1, LINE_KEYS)
    assert (page["items"][0]["from"], page["items"][0]["to"]) == ("always", "")
    lines = terminal.run("toggles", "history").stdout.splitlines()
    assert lines[1].split()[2:] == ["unset", "always", ">", "-", "mode:shop.price", "ada", "heat", "wave"]
    assert lines[2].split()[2:6] == ["set", "-", ">", "always"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("set", "images", "maybe", *WHY), 4, "a percentage like '25%'"),
        (("set", "images", "on"), 2, "--reason TEXT is required"),
        (("set", "images", "on", "--for", "soon", *WHY), 2, "30s, 5m, 1h, 2d"),
        (("set", "level:x", "defined", "--sets", "toggle:y", *WHY), 2, "--sets takes"),
        (("set", "images", *WHY), 2, "VALUE"),
        (("unset", *WHY), 2, "NAME"),
        (("unset", "images", *WHY), 4, "it is not set"),
    ],
)
def test_what_cannot_be_done_is_said(
    terminal: Terminal, store: MemoryToggleStore, words: tuple[str, ...], code: int, says: str
) -> None:
    """With the code of the design, and nothing is set."""
    told = terminal.run("toggles", *words)
    assert told.exit_code == code
    assert says in told.output
    assert store.history() == []


def test_some_of_several(terminal: Terminal) -> None:
    """Code 3, and each result by its name."""
    terminal.run("toggles", "set", "images", "off", *WHY)
    page = terminal.document("toggles", "unset", "images", "nothing", *WHY, code=3)
    assert [item["outcome"] for item in page["items"]] == ["done", "unknown"]


def test_hostile_text_cannot_speak_to_the_terminal(terminal: Terminal) -> None:
    """Escape sequences are written out, markup is text, and a row stays one line."""
    hostile = "\x1b[2J[bold]x[/]\r\n\u202e"
    terminal.run("toggles", "set", "images", "off", "--reason", f"a{hostile}b", "--actor", hostile)
    for command in ("list", "history"):
        told = terminal.run("toggles", command).stdout
        assert "[bold]x[/]" in told
        assert not set(told) & set("\x1b\r\u202e")
        assert told.count("\n") == 2


def test_the_store_is_away(terminal: Terminal, store: MemoryToggleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for a list, a result for an action; code 5 for both."""

    def away(*arguments: object) -> None:
        raise StoreUnavailable("shared state is away")

    monkeypatch.setattr(store, "read", away)
    monkeypatch.setattr(store, "put", away)
    told = terminal.run("toggles", "list")
    assert (told.exit_code, told.stderr.count("\n")) == (5, 1)
    assert terminal.document("toggles", "set", "images", "off", *WHY, code=5)["items"][0]["outcome"] == "failed"


def test_no_shared_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the setting."""
    told = terminal_of(monkeypatch, installed_app()).run("toggles", "list")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert "FLUXORA_REDIS_URL" in told.stderr
