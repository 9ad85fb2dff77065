"""`dead list|show|replay|resolve|discard` over operations in memory."""

from __future__ import annotations

import getpass
from typing import Any, NoReturn

import pytest

from fluxora_tasks.errors import LedgerUnavailable
from fluxora_tasks.operations.records import ActionResult
from tests.unit.interfaces.cli.fakes import FIRST, NOON, SECOND, THIRD, Terminal, letter, terminal_over

KEYS = {
    "id", "status", "kind", "task", "task_id", "queue", "exception_type", "message", "attempts", "replays",
    "first_failed_at", "last_failed_at", "group", "size",
}  # fmt: skip
MORE_KEYS = {"args", "kwargs", "headers", "traceback", "history"}
MAY_KEYS = {"body_note", "worker", "exchange", "routing_key", "message_id", "replay", "possible_duplicates"}


# -------------------------------------------------------------------------------------- list


def test_a_list_has_its_public_shape(terminal: Terminal) -> None:
    """A page has three keys, a dead letter exactly the fourteen of the design, its times in UTC."""
    page = terminal.document("dead", "list")
    assert set(page) == {"items", "total", "next"}
    assert (page["total"], page["next"]) == (2, None)
    assert set(page["items"][0]) == KEYS
    assert page["items"][0]["first_failed_at"] == "2026-03-01T12:00:00.000000Z"


def test_filter_limit_and_cursor_are_handed_on(terminal: Terminal) -> None:
    """What is typed reaches the operation, and the next cursor comes back."""
    page = terminal.document("dead", "list", "--filter", "status:PENDING", "--limit", "1", "--cursor", "0")
    assert terminal.operations.asked == [("status:PENDING", 1, "0")]
    assert page["next"] == "1"


def test_a_list_in_a_pipe(terminal: Terminal) -> None:
    """One line per dead letter with its short id, its error and no trailing blanks; how to go on below."""
    result = terminal.run("dead", "list", "--limit", "1")
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "STATUS", "KIND"]
    assert lines[1].startswith(f"{FIRST[:8]}  PENDING  retries_exhausted  2026-03-01 12:01:35")
    assert lines[1].endswith("workers.demand.tasks.ingest_demand  HTTPError: 503 Service Unavailable")
    assert lines[2:] == ["", "1 of 2", "Next page: --cursor 1"]


def test_an_empty_list_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at all, and nothing that matches, are two sentences; both are a success."""
    terminal = terminal_over(monkeypatch)
    assert terminal.run("dead", "list").stdout == "No dead letters.\n"
    assert terminal.run("dead", "list", "--filter", "x").stdout == "No dead letter matches.\n"
    assert terminal.document("dead", "list") == {"items": [], "total": 0, "next": None}


HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]not markup[/] :boom:\r\nsecond\u202eline\x9b1m"


@pytest.mark.parametrize("command", [("list",), ("show", FIRST)])
def test_hostile_payloads_cannot_speak_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Escape sequences are written out, markup is text, and a row stays one line."""
    terminal = terminal_over(
        monkeypatch,
        letter(
            message=HOSTILE, task=HOSTILE, queue=HOSTILE, exception_type=HOSTILE, traceback=HOSTILE,
            args=[HOSTILE], kwargs={HOSTILE: HOSTILE}, worker=HOSTILE,
        ),
    )  # fmt: skip
    shown = terminal.run("dead", *command)
    assert shown.exit_code == 0, shown.output
    assert not [c for c in shown.stdout if ord(c) < 32 and c != "\n"]
    assert not set(shown.stdout) & {"\x9b", "\u202e", "\x7f"}
    assert "[bold red]not markup[/] :boom:" in shown.stdout
    if command == ("list",):
        assert len(shown.stdout.splitlines()) == 4


# -------------------------------------------------------------------------------------- show


def test_show_has_its_public_shape(terminal: Terminal) -> None:
    """All of a row, and what `show` adds."""
    shown = terminal.document("dead", "show", FIRST)
    assert set(shown) == KEYS | MORE_KEYS | MAY_KEYS
    assert shown["kwargs"] == {"region": "Ostfriesland, Küste"}
    assert shown["history"] == [
        {
            "at": "2026-03-01T12:00:00.000000Z",
            "event": "failed",
            "actor": "worker",
            "detail": "HTTPError: 503 Service Unavailable",
            "replay_no": 0,
        }
    ]


def test_show_for_people(terminal: Terminal) -> None:
    """The error, its traceback, the arguments as they are written in JSON, the history."""
    text = terminal.run("dead", "show", FIRST[:8]).stdout
    assert "requests.exceptions.HTTPError: 503 Service Unavailable" in text
    assert 'File "demand.py", line 7' in text
    assert '"2000-06-05"\nregion = "Ostfriesland, Küste"' in text
    assert "2026-03-01 12:00:00  failed" in text


def test_show_without_arguments_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle is named, never loaded."""
    terminal = terminal_over(monkeypatch, letter(args=None, kwargs=None, body_note="a pickle of 31 bytes"))
    assert "a pickle of 31 bytes" in terminal.run("dead", "show", FIRST).stdout


def test_show_cuts_what_is_too_long_for_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how much is missing; the document has all of it."""
    terminal = terminal_over(monkeypatch, letter(args=["x" * 50_000]))
    text = terminal.run("dead", "show", FIRST).stdout
    assert len(text) < 15_000
    assert "more characters; --json shows all" in text
    assert terminal.document("dead", "show", FIRST)["args"] == ["x" * 50_000]


def test_an_unknown_id_is_refused(terminal: Terminal) -> None:
    """One line that says where ids are found; the same as a document."""
    result = terminal.run("dead", "show", "0000beef")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "Error: no dead letter has the id '0000beef'; see: fluxora dead list\n"
    error = terminal.document("dead", "show", "0000beef", code=4)["error"]
    assert error["code"] == "dead_letter.unknown"


def test_an_ambiguous_beginning_is_refused(terminal: Terminal) -> None:
    """Two ids begin like this; nothing is guessed."""
    result = terminal.run("dead", "show", "7d3f")
    assert result.exit_code == 4
    assert "2 ids" in result.stderr


# -------------------------------------------------------------------------------------- actions


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("replay", "RETRYING"),
        ("resolve", "RESOLVED"),
        ("discard", "DISCARDED"),
        ("restore", "PENDING"),
        ("release", "PENDING"),
    ],
)
def test_an_action_by_short_id(terminal: Terminal, verb: str, status: str) -> None:
    """The whole id reaches the operation, with who and why; the results have the shape of a list."""
    page = terminal.document("dead", verb, FIRST[:8], "--reason", " repaired ", "--actor", "ada")
    action, ids, actor = terminal.operations.acted[0]
    assert (action, ids) == (verb, (FIRST,))
    assert (actor.name, actor.reason, actor.source) == ("ada", "repaired", "cli")
    assert page["total"] == 1
    assert page["items"] == [{"id": FIRST, "outcome": "done", "status": status, "detail": f"now {status}"}]


def test_an_action_by_filter(terminal: Terminal) -> None:
    """What the filter selects is acted on."""
    terminal.document("dead", "resolve", "--filter", "status:FAILED", "--reason", "x")
    assert terminal.operations.acted[0][1] == (SECOND,)


def test_an_action_on_all(terminal: Terminal) -> None:
    """--all says what an empty filter would only seem to."""
    terminal.document("dead", "discard", "--all", "--reason", "x")
    assert terminal.operations.acted[0][1] == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("verb", "meant"), [("replay", "PENDING"), ("discard", "PENDING"), ("restore", "DISCARDED"), ("release", "FAILED")]
)
def test_what_an_action_means_where_no_status_is_named(terminal: Terminal, verb: str, meant: str) -> None:
    """Each action takes the records it is for."""
    terminal.document("dead", verb, "--all", "--reason", "x")
    assert terminal.operations.meant == meant


def test_a_filter_that_selects_nothing(terminal: Terminal) -> None:
    """Nothing to do is a success."""
    result = terminal.run("dead", "replay", "--filter", "status:RESOLVED", "--reason", "x")
    assert result.exit_code == 0
    assert "nothing was done" in result.stdout


def test_an_id_given_twice_is_one(terminal: Terminal) -> None:
    """In its short and its whole form too."""
    terminal.document("dead", "replay", FIRST, FIRST[:9], FIRST, "--reason", "x")
    assert terminal.operations.acted[0][1] == (FIRST,)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name one or more ids"),
        ((FIRST, "--filter", "status:PENDING"), "name one or more ids"),
        ((FIRST, "--all"), "name one or more ids"),
        (("--filter", "  "), "--all"),
        ((FIRST,), "--reason TEXT is required"),
        ((FIRST, "--reason", "  "), "--reason is empty"),
        ((FIRST, "--rason", "x"), "--reason"),
    ],
)
def test_usage(terminal: Terminal, words: tuple[str, ...], says: str) -> None:
    """What is missing or doubled is named, code 2, and nothing is done; with --json as a document."""
    reason = () if "reason" in says else ("--reason", "x")
    result = terminal.run("dead", "replay", *words, *reason)
    assert result.exit_code == 2
    assert says in result.stderr
    error = terminal.document("dead", "replay", *words, *reason, code=2)["error"]
    assert error["code"] == "usage"
    assert says in error["message"]
    assert terminal.operations.acted == []


def test_the_reason_is_asked_for_on_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With somebody there to answer, a missing reason is a question."""
    monkeypatch.setattr("fluxora_tasks.interfaces.cli.acting._is_terminal", lambda: True)
    monkeypatch.setattr("click.prompt", lambda *words, **options: "asked and answered")
    assert terminal.run("dead", "resolve", FIRST).exit_code == 0
    assert terminal.operations.acted[0][2].reason == "asked and answered"


def test_the_actor_is_the_login_name(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option over FLUXORA_ACTOR over the login name; an account without a name is its number."""
    monkeypatch.setattr(getpass, "getuser", lambda: "login")
    terminal.document("dead", "resolve", FIRST, "--reason", "x")
    terminal.document("dead", "resolve", FIRST, "--reason", "x", FLUXORA_ACTOR="variable")

    def nobody() -> NoReturn:
        raise OSError("no name")

    monkeypatch.setattr(getpass, "getuser", nobody)
    terminal.document("dead", "resolve", FIRST, "--reason", "x")
    names = [actor.name for _, _, actor in terminal.operations.acted]
    assert names[:2] == ["login", "variable"]
    assert names[2].startswith("uid ")


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("done", "done", 0),
        ("done", "conflict", 3),
        ("done", "unknown", 3),
        ("refused", "refused", 4),
        ("unknown", "conflict", 4),
        ("conflict", "conflict", 6),
        ("failed", "conflict", 5),
        ("done", "failed", 3),
    ],
)
def test_code_of_an_action(terminal: Terminal, first: Any, second: Any, code: int) -> None:
    """All, some, or why none."""
    for dead_id, outcome in ((FIRST, first), (SECOND, second)):
        if outcome != "done":
            terminal.operations.refusals[dead_id] = ActionResult(dead_id, outcome, "PENDING", "because")
    result = terminal.run("dead", "replay", FIRST, SECOND, "--reason", "x")
    assert result.exit_code == code
    assert result.stderr == ""


def test_unknown_ids_do_not_stop_the_others(terminal: Terminal) -> None:
    """The known one is replayed; the unknown and the ambiguous are named as they were given."""
    page = terminal.document("dead", "replay", "0000beef", FIRST[:8], "7d3f", "--reason", "x", code=3)
    assert {item["id"]: item["outcome"] for item in page["items"]} == {
        FIRST: "done",
        "0000beef": "unknown",
        "7d3f": "refused",
    }


def test_only_unknown_ids(terminal: Terminal) -> None:
    """The action is not called for nothing."""
    terminal.document("dead", "replay", "0000beef", "--reason", "x", code=4)
    assert terminal.operations.acted == []


def test_the_ledger_is_away(terminal: Terminal) -> None:
    """One line that says what to do, code 5; as a document where one is asked for."""
    terminal.operations.error = LedgerUnavailable("the ledger has no schema yet; start the recorder")
    result = terminal.run("dead", "list")
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
    assert terminal.document("dead", "list", code=5)["error"]["code"] == "ledger.unavailable"


# -------------------------------------------------------------------------------------- waiting


def test_wait_tells_what_became_of_each(terminal: Terminal) -> None:
    """Resolved, failed again, and still running; code 3 because not all resolved."""
    terminal.operations.letters[THIRD] = letter(id=THIRD, first_failed_at=NOON)
    terminal.operations.after_replay = {FIRST: "RESOLVED", SECOND: "FAILED"}
    page = terminal.document("dead", "replay", FIRST, SECOND, THIRD, "--reason", "x", "--wait", "0.3", code=3)
    assert {item["id"]: item["status"] for item in page["items"]} == {
        FIRST: "RESOLVED",
        SECOND: "FAILED",
        THIRD: "RETRYING",
    }
    assert "no outcome after 0.3 s" in page["items"][2]["detail"]


def test_wait_with_success(terminal: Terminal) -> None:
    """Every replay resolved: code 0, a line for each, and the count."""
    terminal.operations.after_replay = {FIRST: "RESOLVED", SECOND: "RESOLVED"}
    result = terminal.run("dead", "replay", "--all", "--reason", "x", "--wait")
    assert result.exit_code == 0
    assert f"{FIRST[:8]}  RESOLVED" in result.stdout
    assert result.stdout.endswith("2 of 2 done: 2 resolved, 0 failed again, 0 without an outcome\n")


@pytest.mark.parametrize(
    "words",
    [("--wait", FIRST), (FIRST, "--wait"), ("--wait", "2", FIRST), ("--wait=2", FIRST), ("--wait", FIRST[:8])],
)
def test_wait_takes_no_id_for_seconds(terminal: Terminal, words: tuple[str, ...]) -> None:
    """Wherever it stands, an id stays an id."""
    terminal.operations.after_replay = {FIRST: "RESOLVED"}
    terminal.document("dead", "replay", "--reason", "x", *words)
    assert terminal.operations.acted[0][1] == (FIRST,)


def test_an_id_of_digits_only_is_an_id() -> None:
    """Eight digits after --wait are the beginning of an id, not three years."""
    from fluxora_tasks.interfaces.cli.entry import _with_wait_value

    assert _with_wait_value(["--wait", "12345678"]) == ["--wait=60", "12345678"]
    assert _with_wait_value(["--wait", "600"]) == ["--wait", "600"]
    assert _with_wait_value(["--wait"]) == ["--wait=60"]
