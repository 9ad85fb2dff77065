"""`breakers …` over a store in memory whose clock the test holds."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from celery import Celery
from rich.console import Console

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Counts, Override, Report, Snapshot, Status
from fluxora_tasks.breaker.stores.memory import MemoryBreakerStore
from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.install import extension_of
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.operations.breakers import summary_of
from tests.unit.interfaces.cli.fakes import Terminal, installed_app, terminal_of

NOON_MS = round(datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp() * 1000)

KEYS = {
    "name", "state", "automatic_state", "calls", "failures", "slow", "failure_rate", "since", "until", "reason",
    "attempts", "generation", "override", "override_until", "override_by", "override_why",
}  # fmt: skip
MORE_KEYS = {"leases", "reporters", "late", "refused", "history"}
LINE_KEYS = {"at", "event", "from", "to", "reason", "generation", "reporter", "actor", "why", "facts"}

HOSTILE = "\u202e[bold red]no markup[/] :boom: \u2028two\u2066"


@pytest.fixture
def store() -> MemoryBreakerStore:
    """Three circuits at noon: one of them open."""
    store = MemoryBreakerStore(lambda: NOON_MS, Random(1))
    used = [("alpha", Counts(4, 1)), ("beta", Counts(2)), ("weather", Counts(5, 5))]
    store.flush([Report(name, BreakerPolicy(jitter=0), 0, counts) for name, counts in used], "worker-1")
    return store


@pytest.fixture
def app(store: MemoryBreakerStore) -> Celery:
    """An installed app that has these circuits."""
    app = installed_app()
    use(app, store)
    return app


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, app: Celery) -> Terminal:
    """`fluxora` for that app."""
    return terminal_of(monkeypatch, app)


def use(app: Celery, store: MemoryBreakerStore) -> None:
    """Have the app's circuits there."""
    extension = extension_of(app)
    assert extension is not None
    extension.breakers.store = store


# ------------------------------------------------------------------------------------------------ looking


def test_a_list_has_its_public_shape(terminal: Terminal) -> None:
    """A page has three keys, a circuit its own, its times in UTC."""
    page = terminal.document("breakers", "list")
    assert (set(page), page["total"], page["next"]) == ({"items", "total", "next"}, 3, None)
    assert set(page["items"][0]) == KEYS
    last = page["items"][2]
    assert (last["state"], last["until"]) == ("OPEN", "2026-03-01T12:00:05.000000Z")


def test_a_list_in_a_pipe(terminal: Terminal) -> None:
    """One line per circuit; how to go on below, in words that can be pasted."""
    lines = terminal.run("breakers", "list", "--limit", "2").stdout.splitlines()
    assert lines[0].split()[:4] == ["CIRCUIT", "STATE", "CALLS", "FAILED"]
    assert lines[1].split() == ["alpha", "CLOSED", "4", "25%", "-", "-"]
    assert lines[4] == "2 of 3"
    words = lines[5].removeprefix("Next page: ").split()
    assert terminal.document("breakers", "list", *words)["items"][0]["name"] == "weather"


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_cuts_nothing_that_has_to_be_typed_again(width: int) -> None:
    """A name and whoever decided stand on as many lines as they need; so does what is behind a change."""
    name, by = "tenant-with-a-rather-long-name-north-east", "ann.of.the.night.shift"
    status = Status(Snapshot(name, override=Override.FORCED_OPEN, override_by=by, override_until_ms=NOON_MS + 1))
    change = ["2026-03-01 12:00:00.000", "override_set", "CLOSED > FORCED_OPEN", "manual", by, "moving the house"]
    for table in (tables.circuits([summary_of(status)]), tables.changes([change], width)):
        console = Console(width=width, force_terminal=True, color_system=None)
        with console.capture() as captured:
            console.print(table)
        text = captured.get()
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
    assert "CLOSED > FORCED_OPEN" in text


def test_an_empty_list_says_so(monkeypatch: pytest.MonkeyPatch, app: Celery, terminal: Terminal) -> None:
    """Nothing that matches, and nothing at all, are two sentences; both are a success."""
    assert terminal.run("breakers", "list", "--filter", "state:DISABLED").stdout == "No circuit matches.\n"
    use(app, MemoryBreakerStore(lambda: NOON_MS))
    assert terminal.run("breakers", "list").stdout == "No circuits: none has been used yet.\n"
    assert terminal.document("breakers", "list") == {"items": [], "total": 0, "next": None}


def test_show_has_its_public_shape(terminal: Terminal) -> None:
    """All of a row, and what `show` adds; each line of history says from where to where."""
    shown = terminal.document("breakers", "show", "weather")
    assert set(shown) == KEYS | MORE_KEYS
    (line,) = shown["history"]
    assert set(line) == LINE_KEYS
    assert (line["from"], line["to"], line["reporter"]) == ("CLOSED", "OPEN", "worker-1")
    assert terminal.document("breakers", "history", "weather") == {"items": [line], "total": 1, "next": None}


def test_show_for_people(terminal: Terminal) -> None:
    """State, end, numbers, who decided what; and what led there."""
    terminal.run("breakers", "shadow", "weather", "--reason", "tune", "--actor", "ada", "--for", "unlimited")
    text = terminal.run("breakers", "show", "weather").stdout
    assert "State      METRICS_ONLY (by itself OPEN)" in text
    assert "Override   METRICS_ONLY without end by ada: tune" in text
    assert "2026-03-01 12:00:00.000  opened" in text
    assert "CLOSED > OPEN" in text
    text = terminal.run("breakers", "show", "alpha").stdout
    assert "Calls      4: 1 failed, 0 slow, 25% failed" in text


def test_an_unknown_name_is_refused(terminal: Terminal) -> None:
    """One line with the name that was meant; the same as a document."""
    for command in ("show", "history"):
        result = terminal.run("breakers", command, "wether")
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr == "Error: nobody has used a circuit 'wether'; did you mean 'weather'?\n"
    assert terminal.document("breakers", "show", "wether", code=4)["error"]["code"] == "breaker.unknown"


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "--limit", "1"),
        ("show", HOSTILE),
        ("history", HOSTILE),
        ("disable", HOSTILE, "--reason", HOSTILE, "--actor", HOSTILE),
        ("show", HOSTILE[:-1]),
    ],
)
def test_hostile_names_cannot_speak_to_the_terminal(
    terminal: Terminal, store: MemoryBreakerStore, words: tuple[str, ...]
) -> None:
    """Names come from arguments of tasks: marks are written out, markup is text, a row stays one line."""
    store.flush([Report(HOSTILE, BreakerPolicy(), 0, Counts(5, 5))], HOSTILE)
    told = terminal.run("breakers", *words)
    assert told.exit_code in (0, 4), told.output
    assert not set(told.output) & set("\u202e\u2028\u2066\x1b")
    if "--limit" not in words:
        assert "[bold red]no markup[/] :boom:" in told.output
    assert not set(terminal.run("breakers", *words, "--json").output) & set("\u202e\u2028\u2066\x1b")


# ------------------------------------------------------------------------------------------------- acting


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("open", "FORCED_OPEN"),
        ("close", "FORCED_CLOSED"),
        ("disable", "DISABLED"),
        ("shadow", "METRICS_ONLY"),
    ],
)
def test_forcing(terminal: Terminal, store: MemoryBreakerStore, verb: str, status: str) -> None:
    """For an hour unless it is said otherwise, in the name of whoever does it."""
    page = terminal.document("breakers", verb, "alpha", "--reason", " deploy ", "--actor", "ada")
    assert page["items"] == [
        {"id": "alpha", "outcome": "done", "status": status, "detail": "until 2026-03-01 13:00:00 UTC"}
    ]
    (line, *_) = store.history("alpha")
    assert (line.actor, line.why, line.current) == ("ada", "deploy", status)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [(("--for", "90"), 90), (("--for", "1.5m"), 90), (("--for", "2d"), 172_800), (("--for", "unlimited"), None)],
)
def test_how_long(terminal: Terminal, store: MemoryBreakerStore, words: tuple[str, ...], seconds: int | None) -> None:
    """Seconds, or with a unit; no end has to be said."""
    terminal.document("breakers", "open", "alpha", "--reason", "x", *words)
    until = store.read(["alpha"])[0].snapshot.override_until_ms
    assert until == (0 if seconds is None else NOON_MS + seconds * 1000)


@pytest.mark.parametrize("verb", ["trip", "open"])
@pytest.mark.parametrize("text", ["soon", "", "-5", "0", "1y", "400d", "1h30m", "inf"])
def test_what_is_no_duration(terminal: Terminal, store: MemoryBreakerStore, verb: str, text: str) -> None:
    """It is a usage error that names the forms."""
    told = terminal.run("breakers", verb, "alpha", "--reason", "x", "--for", text)
    assert told.exit_code == 2
    assert "30s, 5m, 1h, 2d" in told.stderr
    assert store.history("alpha") == []


def test_letting_go(terminal: Terminal, store: MemoryBreakerStore) -> None:
    """At once, or by way of probes."""
    terminal.document("breakers", "open", "alpha", "beta", "--reason", "x")
    terminal.document("breakers", "release", "alpha", "--reason", "x")
    terminal.document("breakers", "release", "beta", "--half-open", "--reason", "x")
    assert [one.snapshot.state for one in store.read(["alpha", "beta"])] == ["CLOSED", "HALF_OPEN"]


def test_reset_of_what_a_filter_finds(terminal: Terminal, store: MemoryBreakerStore) -> None:
    """And of nothing else; where it finds none that is said, and a success."""
    assert terminal.run("breakers", "reset", "--filter", "state:OPEN", "--reason", "x").exit_code == 0
    assert store.history("weather")[0].event == "reset"
    assert store.history("alpha") == []
    told = terminal.run("breakers", "reset", "--filter", "state:OPEN", "--reason", "x")
    assert (told.exit_code, told.stdout) == (0, "No circuit matches; nothing was done.\n")


def test_trip_all(terminal: Terminal) -> None:
    """--all says what an empty filter would only seem to."""
    page = terminal.document("breakers", "trip", "--all", "--for", "30s", "--reason", "x")
    assert [item["status"] for item in page["items"]] == ["OPEN"] * 3


def test_only_if_it_is_what_was_seen(terminal: Terminal, store: MemoryBreakerStore) -> None:
    """Another generation: code 6, and nothing is done; of several, the others are done, code 3."""
    seen = str(store.read(["alpha"])[0].snapshot.generation)
    told = terminal.run("breakers", "open", "alpha", "--expect-generation", "1", "--reason", "x")
    assert told.exit_code == 6
    assert "changed meanwhile" in told.stdout
    assert store.history("alpha") == []
    terminal.document("breakers", "open", "alpha", "--expect-generation", seen, "--reason", "x")
    page = terminal.document("breakers", "reset", "alpha", "beta", "--expect-generation", seen, "--reason", "x", code=3)
    assert [item["outcome"] for item in page["items"]] == ["conflict", "done"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name one or more circuits"),
        (("alpha", "--all"), "name one or more circuits"),
        (("--filter", "  "), "--all"),
        (("alpha",), "--reason TEXT is required"),
        (("alpha", "--reason", "  "), "--reason is empty"),
    ],
)
def test_usage(terminal: Terminal, store: MemoryBreakerStore, words: tuple[str, ...], says: str) -> None:
    """What is missing or doubled is named, code 2, and nothing is done; with --json as a document."""
    reason = () if "reason" in says else ("--reason", "x")
    told = terminal.run("breakers", "reset", *words, *reason)
    assert told.exit_code == 2
    assert says in told.stderr
    assert says in terminal.document("breakers", "reset", *words, *reason, code=2)["error"]["message"]
    assert store.history("alpha") == []


def test_the_store_is_away(terminal: Terminal, store: MemoryBreakerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, code 5; as a document where one is asked for."""

    def away() -> list[str]:
        raise StoreUnavailable("shared state is away")

    monkeypatch.setattr(store, "names", away)
    told = terminal.run("breakers", "list")
    assert (told.exit_code, told.stderr.count("\n")) == (5, 1)
    error = terminal.document("breakers", "reset", "alpha", "--reason", "x", code=5)["error"]
    assert error["code"] == "store.unavailable"


def test_the_rules_are_those_of_the_tasks(
    terminal: Terminal, app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a module of tasks says about a circuit counts, though no command but this needs the module."""
    text = "from fluxora_tasks import BreakerPolicy, CircuitBreaker\n"
    text += "CircuitBreaker(name='declared-in-a-task', policy=BreakerPolicy(cooldown=77))\n"
    (tmp_path / "tasks_with_rules.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tasks_with_rules", raising=False)
    app.conf.include = ["tasks_with_rules"]
    page = terminal.document("breakers", "trip", "declared-in-a-task", "--reason", "x")
    assert page["items"][0]["detail"].startswith("until 2026-03-01 12:01:17 UTC")


def test_tasks_that_cannot_be_imported_keep_nobody_from_acting(terminal: Terminal, app: Celery) -> None:
    """It is said, beside the results; a document stays alone."""
    app.conf.include = ["no_such_module_here"]
    told = terminal.run("breakers", "open", "alpha", "--reason", "x")
    assert told.exit_code == 0
    assert "no_such_module_here" in told.stderr
    assert "FORCED_OPEN" in told.stdout
    assert terminal.document("breakers", "close", "alpha", "--reason", "x")["total"] == 1


def test_no_shared_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the setting."""
    told = terminal_of(monkeypatch, installed_app()).run("breakers", "list")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert "FLUXORA_REDIS_URL" in told.stderr
