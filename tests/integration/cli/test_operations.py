"""Bulk operations as they are typed, on a real ledger, carried out by a real recorder."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner

from fluxora_tasks.bulk.operation import Kind, Pace, Selector
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.errors import ConfigurationError, ConflictError, UnknownOperation
from fluxora_tasks.install import install
from fluxora_tasks.interfaces.cli.main import main
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.bulk import BulkOperations
from fluxora_tasks.operations.context import open_bulk
from fluxora_tasks.operations.records import Actor
from fluxora_tasks.settings import Settings
from tests.integration.cli.programs import APP, ROOT, Ended, command, ended, run
from tests.letters import headers_of, letter
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

PARSE = Fingerprint("frame", ("type=builtins.ValueError", "at=demand.ingest:parse"))
STORE = Fingerprint("frame", ("type=builtins.KeyError", "at=demand.ingest:store"))

LONG = "a.rather.long." * 12


@pytest.fixture
def ledger(environment: dict[str, str]) -> Iterator[Ledger]:
    """Twelve records of one task, three of one whose name is long and hostile; two groups."""
    engine = open_engine(environment["FLUXORA_LEDGER_URL"])
    upgrade(engine)
    ledger = Ledger(engine)
    ledger.ingest([letter(f"m{number}", at=number, fingerprint=PARSE) for number in range(12)])
    hostile = f"{LONG}\x1b[2Jtask\u202e"
    ledger.ingest([letter(f"h{number}", task=hostile, at=number, fingerprint=STORE) for number in range(3)])
    yield ledger
    engine.dispose()


@pytest.fixture
def recorder(environment: dict[str, str], ledger: Ledger, celery_processes: CeleryProcesses) -> None:
    """A recorder that carries operations out."""
    celery_processes.recorder(APP, environment, ready="recorder.started")


class Shell:
    """Types `fluxora operations …`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *words: str) -> Ended:
        return run("fluxora", "operations", *words, environment=self._environment)

    def document(self, *words: str) -> Any:
        return self(*words, "--json").document()

    def planned(self, *words: str) -> str:
        """The id of a plan."""
        return str(self.document("plan", *words)["id"])


class QuickShell(Shell):
    """The same in this process, with no broker to speak of."""

    def __init__(self, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        app = Celery("small", broker="memory://")
        install(app, Settings(ledger_url=ledger_url))
        monkeypatch.setattr("fluxora_tasks.interfaces.cli.application.load_app", lambda name: app)

    def __call__(self, *words: str) -> Ended:
        result = CliRunner().invoke(main, ("operations", *words), prog_name="fluxora")
        return Ended(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def shell(environment: dict[str, str], ledger: Ledger) -> Shell:
    return Shell(environment)


@pytest.fixture
def quick(environment: dict[str, str], ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return QuickShell(environment["FLUXORA_LEDGER_URL"], monkeypatch)


def statuses(ledger_url: str) -> dict[str, int]:
    """Records by status."""
    page = run("fluxora", "dead", "list", "--json", environment={"FLUXORA_LEDGER_URL": ledger_url}).document()
    found: dict[str, int] = {}
    for item in page["items"]:
        found[item["status"]] = found.get(item["status"], 0) + 1
    return found


def test_a_plan_counts_and_changes_nothing(quick: Shell, environment: dict[str, str]) -> None:
    """By task, group, queue, kind and status; what is in the way is a warning; without colours or codes of others."""
    plan = quick.document("plan", "replay", "--all", "--rate", "5", "--canary", "2")
    assert (plan["state"], plan["planned"], plan["pace"]["rate"], plan["all"]) == ("planned", 15, 5.0, True)
    assert [(count["name"], count["records"]) for count in plan["plan"]["groups"]] == [
        (PARSE.group_id, 12),
        (STORE.group_id, 3),
    ]
    assert plan["plan"]["oldest"] < plan["plan"]["newest"]
    text = quick("plan", "replay", "--filter", "task:a.rather.*", "--reason", "try").out
    assert "\\x1b[2J" in text
    assert "\\u202e" in text
    assert "\x1b" not in text
    assert "operations start" in text
    listed = quick.document("list")
    assert [(item["state"], item["planned"]) for item in listed["items"]] == [("planned", 3), ("planned", 15)]
    assert statuses(environment["FLUXORA_LEDGER_URL"]) == {"PENDING": 15}


def test_a_plan_warns(quick: Shell, ledger: Ledger) -> None:
    """Of tasks that the app does not have, and of messages whose groups wait for them."""
    in_group = replace(letter().payload, headers=headers_of("g", group="0198c0de-0000-7000-8000-000000000000"))
    ledger.ingest([letter(f"g{number}", task="celery.backend_cleanup", payload=in_group) for number in range(2)])
    plan = quick.document("plan", "replay", "--filter", "task:demand.*,celery.backend_cleanup")["plan"]
    canvas, unknown = plan["warnings"]
    assert canvas == "2 of them belong to groups or chords, which go on once all their members succeeded"
    assert unknown.startswith("task 'demand.ingest' is not registered in this app")
    assert quick.document("plan", "discard", "--all")["plan"]["warnings"] == []


def test_from_plan_to_end(shell: Shell, recorder: None, environment: dict[str, str]) -> None:
    """Started with the reason of its plan, watched in a pipe line by line, asked about afterwards."""
    planned = shell.planned("discard", "--filter", "task:demand.*", "--reason", "not wanted")
    started = shell("start", planned[:8], "--watch")
    assert started.code == 0, started
    *lines, end = started.out.splitlines()
    assert all(line.startswith(("running", "completed")) for line in lines)
    assert end == f"{planned[:8]} completed: 12 of 12 known, 12 succeeded"
    assert shell("watch", planned).code == 0
    shown = shell.document("show", planned[:6])
    assert (shown["reason"], shown["state"], shown["known"]) == ("not wanted", "completed", 12)
    assert shown["outcomes"] == [{"outcome": "done", "why": "", "records": 12}]
    first = shell.document("items", planned, "--limit", "5")
    rest = shell.document("items", planned, "--cursor", first["next"], "--outcome", "done")
    assert [item["seq"] for item in first["items"] + rest["items"]] == list(range(1, 13))
    assert shell("start", planned, "--reason", "again").code == 6
    assert statuses(environment["FLUXORA_LEDGER_URL"]) == {"DISCARDED": 12, "PENDING": 3}

    back = shell("run", "restore", "--all", "--reason", "wanted after all", "--yes", "--watch")
    assert (back.code, back.err) == (0, "")
    assert statuses(environment["FLUXORA_LEDGER_URL"]) == {"PENDING": 15}
    words = ("audit", "list", "--about", planned, "--json")
    trail = run("fluxora", *words, environment=environment).document()["items"]
    own = [entry["to_status"] for entry in trail if not entry["dead_letter_id"]]
    assert own == ["completed", "running", "planned"]
    assert sum(entry["to_status"] == "DISCARDED" for entry in trail) == 12


def test_a_group_is_one_word(shell: Shell, recorder: None, environment: dict[str, str]) -> None:
    """`groups discard` plans and starts what its filter would."""
    words = ("groups", "discard", STORE.group_id[:6], "--reason", "noise", "--yes", "--watch", "--json")
    done = run("fluxora", *words, environment=environment)
    assert (done.code, done.document()["filter"]) == (0, f"group:{STORE.group_id}")
    assert statuses(environment["FLUXORA_LEDGER_URL"]) == {"DISCARDED": 3, "PENDING": 12}
    nothing = run("fluxora", "groups", "replay", STORE.group_id, "--reason", "x", "--yes", environment=environment)
    assert nothing.code == 0
    assert "nothing was done" in nothing.out


def test_records_that_changed_meanwhile_are_skipped(shell: Shell, ledger: Ledger, recorder: None) -> None:
    """Done in part is code 3, and each one says why."""
    planned = shell.planned("discard", "--all", "--reason", "x")
    # within the drift that a plan may have, so it starts
    ids = [item["id"] for item in run_list(shell)]
    ledger.resolve(ids[:1], Actor("ann", "mended by hand"))
    named = shell.document("run", "discard", *ids[:3], "--reason", "x", "--yes", "--watch")
    assert (named["state"], named["succeeded"], named["skipped"], named["named"]) == ("completed", 2, 1, 3)
    watched = shell("watch", named["id"])
    assert watched.code == 3
    assert "2 succeeded, 1 skipped" in watched.out
    skipped = shell.document("items", named["id"], "--outcome", "skipped")["items"]
    assert [(item["dead_letter_id"], item["why"]) for item in skipped] == [(ids[0], "state_changed")]
    drifted = shell("start", planned)
    assert drifted.code == 6
    assert "15 records were planned, now there are 12" in drifted.err
    assert shell("start", planned).code == 0, "the plan made anew is true"


def run_list(shell: Shell) -> Sequence[dict[str, Any]]:
    page = run("fluxora", "dead", "list", "--json", environment=shell._environment).document()
    return list(page["items"])


def test_only_what_failed_is_sent_again(
    shell: Shell, environment: dict[str, str], recorder: None, celery_processes: CeleryProcesses, tmp_path: Path
) -> None:
    """Done in part is code 3; a second operation takes exactly the rest."""
    celery_processes.worker(APP, environment, "--pool", "solo")
    paths = [str(tmp_path / f"meter-{number}") for number in range(4)]
    script = f"from {APP} import read_meter; [read_meter.delay(path) for path in {paths!r}]"
    assert ended([sys.executable, "-c", script], environment).code == 0
    wait_until(lambda: shell.document("plan", "replay", "--filter", "task:read_meter")["planned"] == 4, 30, "4 records")
    for path in paths[:3]:
        Path(path).touch()

    pace = ("--rate", "100", "--canary", "0", "--stop-ratio", "1")
    chosen = ("replay", "--filter", "task:read_meter", *pace, "--reason", "three are mended", "--yes", "--watch")
    part = shell("run", *chosen, "--json")
    first = part.document()
    assert (part.code, first["state"], first["succeeded"], first["failed"]) == (3, "completed", 3, 1)
    failed = shell.document("items", first["id"], "--outcome", "failed_again")["items"]
    assert [(item["why"], "no meter" in item["detail"]) for item in failed] == [("same", True)]

    Path(paths[3]).touch()
    rest = shell("run", "replay", "--failed-of", first["id"][:8], "--reason", "the last one", "--yes", "--watch")
    assert rest.code == 0, rest
    assert "completed: 1 of 1 known, 1 succeeded" in rest.out


def test_a_replay_waits_for_the_circuit_of_its_task(
    shell: Shell, environment: dict[str, str], ledger: Ledger, recorder: None
) -> None:
    """The plan warns of it; the operation says what it waits for, and sends nothing."""
    ledger.ingest([letter("p1", task="fetch_price", queue="celery")])
    opened = run("fluxora", "breakers", "open", "prices", "--reason", "maintenance", environment=environment)
    assert opened.code == 0, opened
    plan = shell.document("plan", "replay", "--filter", "task:fetch_price", "--reason", "x")
    assert plan["plan"]["warnings"] == ["circuit prices is FORCED_OPEN"]
    shell("start", plan["id"])

    def held() -> Any:
        return (found := shell.document("show", plan["id"]))["hold"] and found

    found = wait_until(held, 20, "it waits")
    assert (found["state"], found["hold"], found["held_by"]) == ("paused", "circuit prices is FORCED_OPEN", "system")
    assert (found["issued"], found["executor"] is not None) == (0, True)
    shell("cancel", plan["id"], "--reason", "another day")
    cancelled = shell("watch", plan["id"])
    assert (cancelled.code, cancelled.out.splitlines()[-1]) == (
        5,
        f"{plan['id'][:8]} cancelled: 1 of 1 known, 0 succeeded, 1 skipped",
    )


def test_hands_on_a_running_operation(quick: Shell) -> None:
    """Without a recorder it does not move, which every command says; pause, resume and cancel hold all the same."""
    planned = quick.planned("replay", "--all", "--reason", "mended")
    assert quick("watch", planned).code == 6
    assert quick("pause", planned, "--reason", "x").code == 6
    started = quick("start", planned)
    assert "No recorder is running" in started.err
    assert quick.document("pause", planned, "--reason", "lunch", "--actor", "ann")["hold"] == "lunch"
    assert "paused since" in (shown := quick("show", planned).out)
    assert "by the operator: lunch" in shown
    assert "No recorder is running" in shown
    assert quick.document("resume", planned, "--reason", "back")["state"] == "running"
    assert quick.document("cancel", planned, "--reason", "enough")["state"] == "cancelled"
    assert quick("resume", planned, "--reason", "x").code == 6


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("plan", "replay"), 2, "--filter TEXT, or --all"),
        (("plan", "replay", "--filter", " "), 2, "say --all if that is meant"),
        (("plan", "replay", "--all", "--failed-of", "abcd"), 2, "leave out ids"),
        (("plan", "replay", "--failed-of", "abcd"), 4, "no operation has the id 'abcd'"),
        (("plan", "replay", "--filter", "tsk:x"), 2, "did you mean task"),
        (("plan", "replay", "abcdef"), 4, "no dead letter has the id 'abcdef'"),
        (("plan", "replay", "--all", "--rate", "0"), 2, "x>0"),
        (("plan", "replay", "--all", "--rate", "10", "--max-rate", "5"), 2, "must not be below rate"),
        (("plan", "discard", "--all", "--rate", "5"), 2, "only a replay has a pace"),
        (("plan", "purge", "--all"), 2, "'purge' is not one of"),
        (("run", "discard", "--all", "--reason", "x"), 2, "--yes is required"),
        (("run", "discard", "--all", "--yes"), 2, "--reason TEXT is required"),
        (("start", "ffffffff", "--reason", "x"), 4, "no operation has the id 'ffffffff'"),
        (("start", "fff"), 4, "too short"),
        (("show", "\x1b[2J\U0010ffff"), 4, "no operation has the id"),
        (("items", "ffffffff", "--outcome", "fine"), 2, "'fine' is not one of"),
        (("list", "--cursor", "x"), 2, "not a cursor of this list"),
    ],
)
def test_bad_input_is_told(quick: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    """What is wrong, and what to do; nothing on standard output but with --json, one document."""
    told = quick(*words)
    assert (told.code, told.out) == (code, ""), told
    assert said in " ".join(told.err.split())
    assert "\x1b" not in told.err
    document = quick(*words, "--json")
    assert document.code == code
    assert said in document.document()["error"]["message"]


class Terminal:
    """A process on a terminal of 80 columns."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        variables = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            arguments, env={**os.environ, **variables, **environment}, cwd=ROOT, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._printed = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._ours, 65_536)
            except OSError:
                return
            self._printed += part

    def says(self, text: str) -> str:
        wait_until(lambda: text in self.text, 30, f"{text!r} on the terminal: {self.text}")
        return self.text

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        code = self.process.wait(30)
        self._reader.join(10)
        os.close(self._ours)
        return code

    @property
    def text(self) -> str:
        return self._printed.decode(errors="replace").replace("\r\n", "\n")


def test_on_a_terminal_it_asks_and_shows_bars(shell: Shell, recorder: None, environment: dict[str, str]) -> None:
    """The plan first, then the question, then two bars until the end; no line is longer than 80."""
    words = ("operations", "run", "discard", "--all", "--watch")
    terminal = Terminal(command("fluxora", *words), environment)
    terminal.says("Reason:")
    terminal.type("not wanted\n")
    terminal.says("discard 15 dead letters? [y/N]:")
    plan = terminal.text
    terminal.type("y\n")
    terminal.says("completed: 15 of 15 known, 15 succeeded")
    assert terminal.end() == 0, terminal.text
    assert "outcome known" in terminal.text
    assert "15/15" in terminal.text
    bare = plan.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert all(len(line) <= 80 for line in bare.splitlines()), bare
    assert "\x1b" not in bare
    assert "a.rather.long" in bare


def test_no_is_no(shell: Shell, environment: dict[str, str]) -> None:
    """Nothing is started."""
    terminal = Terminal(command("fluxora", "operations", "run", "discard", "--all", "--reason", "x"), environment)
    terminal.says("[y/N]:")
    terminal.type("n\n")
    terminal.says("Nothing was done.")
    assert terminal.end() == 5
    assert [item["state"] for item in shell.document("list")["items"]] == ["planned"]


def test_who_stops_watching_stops_nothing(shell: Shell, environment: dict[str, str]) -> None:
    """Ctrl-C leaves the operation running, and says so."""
    planned = shell.planned("replay", "--all", "--reason", "x")
    shell("start", planned)
    terminal = Terminal(command("fluxora", "operations", "watch", planned), environment)
    terminal.says("No recorder is running")
    terminal.process.send_signal(signal.SIGINT)
    terminal.says(f"operation {planned[:8]} goes on")
    assert terminal.end() == 5
    assert "Traceback" not in terminal.text
    assert shell.document("show", planned)["state"] == "running"


@pytest.fixture
def operations(environment: dict[str, str], ledger: Ledger) -> BulkOperations:
    """What the commands, and every other interface, call."""
    settings = Settings(ledger_url=environment["FLUXORA_LEDGER_URL"], broker_url="memory://")

    class Nothing:
        def holds(self, task: str, queue: str) -> str | None:
            return None

        def close(self) -> None: ...

    return open_bulk(settings, Nothing)


def test_what_needs_a_name_and_a_reason(operations: BulkOperations) -> None:
    """A plan a name, everything else both; ids may be short."""
    everything = Selector(all=True)
    with pytest.raises(ConfigurationError):
        operations.plan(Kind.DISCARD, everything, Pace(), Actor(" ", ""))
    planned = operations.plan(Kind.DISCARD, everything, Pace(), Actor("ann", ""))
    for step in (operations.start, operations.pause, operations.resume, operations.cancel):
        with pytest.raises(ConfigurationError):
            step(planned.id, Actor("ann", " "))
    with pytest.raises(ConflictError):
        operations.resume(planned.id[:8], Actor("ann", "x"))
    with pytest.raises(UnknownOperation):
        operations.get("0000-ffff")
    assert operations.failed_of(planned.id[:8]).filter == f"op:{planned.id} outcome:failed_again,publish_failed"
