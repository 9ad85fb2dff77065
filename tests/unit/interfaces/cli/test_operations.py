"""How bulk operations are shown, watched, and which code they end with."""

from __future__ import annotations

import io
import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from fluxora_tasks.bulk.operation import Count, Item, Kind, Operation, Pace, Plan, Progress, Selector, State
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.errors import ExitCode
from fluxora_tasks.interfaces.cli.operation_view import (
    change_line,
    end_lines,
    item_document,
    item_table,
    operation_fields,
    operation_table,
    outcome_table,
    plan_counts,
    plan_fields,
    size_text,
    span,
    state_line,
    whole_document,
)
from fluxora_tasks.interfaces.cli.operations import exit_code_of, pace_of
from fluxora_tasks.interfaces.cli.watching import Bars, Lines, Look, looks
from fluxora_tasks.operations.bulk import OutcomeCount
from tests.unit.interfaces.cli.fakes import FIRST, NOON

HOSTILE = "\u202e[bold red]no markup[/] :boom: \u2028two\u2066 \x1b[2J " * 4

PLAN = Plan(
    total=1000,
    tasks=(Count(HOSTILE, 990), Count("", 10)),
    groups=(Count("13d3716c834bb3e8", 1000),),
    queues=(Count("demand", 1000),),
    kinds=(Count("retries_exhausted", 1000),),
    statuses=(Count("PENDING", 1000),),
    oldest="2026-03-01T11:00:00+00:00",
    newest="2026-03-01T11:59:00+00:00",
    size=2_048_000,
    seconds=42.0,
    left_out=(Count("FAILED", 3),),
    warnings=(HOSTILE,),
)


def operation(**fields: Any) -> Operation:
    """A replay of a thousand records, half of it done."""
    given: dict[str, Any] = {
        "id": FIRST,
        "kind": Kind.REPLAY,
        "state": State.RUNNING,
        "version": 3,
        "selector": Selector(filter=f'task:"{HOSTILE}"'),
        "cutoff_at": NOON,
        "planned_at": NOON,
        "expires_at": NOON + timedelta(minutes=15),
        "planned": 1000,
        "plan": PLAN,
        "pace": Pace(),
        "progress": Progress(is_canary=False, rate=40.0),
        "actor": HOSTILE,
        "source": "cli",
        "reason": HOSTILE,
        "state_at": NOON,
        "detail": "",
        "hold": "",
        "held_by": "",
        "started_at": NOON,
        "ended_at": None,
        "listed_key": "",
        "listed_all": True,
        "total": 1000,
        "issued": 600,
        "known": 500,
        "succeeded": 490,
        "failed": 10,
        "skipped": 0,
    }
    return Operation(**{**given, **fields})


def ended(state: State = State.COMPLETED, **fields: Any) -> Operation:
    counts = {"issued": 1000, "known": 1000, "succeeded": 1000, "failed": 0}
    return operation(state=state, ended_at=NOON, **{**counts, **fields})


def drawn(table: Table, width: int = 80) -> str:
    """A table on a terminal."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, markup=False, emoji=False
    )
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (ended(), ExitCode.OK),
        (ended(total=0, known=0, succeeded=0), ExitCode.OK),  # there was nothing to do
        (ended(succeeded=999, failed=1), ExitCode.PARTIAL),
        (ended(succeeded=999, issued=999, skipped=1), ExitCode.PARTIAL),
        (ended(succeeded=999), ExitCode.PARTIAL),  # one is unconfirmed
        (ended(State.ABORTED, succeeded=5, failed=5), ExitCode.ABORTED),
        (ended(State.CANCELLED), ExitCode.ABORTED),
        (operation(), ExitCode.OK),  # it was started, that was all
        (operation(state=State.PAUSED), ExitCode.OK),
    ],
)
def test_the_code_of_an_operation(what: Operation, code: ExitCode) -> None:
    """0 all succeeded, 3 not all, 5 stopped."""
    assert exit_code_of(what) is code


def test_everything_fits_a_terminal() -> None:
    """80 columns, whatever a payload is called, and nothing of it is obeyed."""
    item = Item(1, FIRST, "failed_again", "same", 1, NOON, "g", "g", HOSTILE)
    for table in (
        tables.fields(list(plan_fields(operation()))),
        tables.fields(list(operation_fields(operation(hold=HOSTILE, held_by="system"), None))),
        plan_counts(PLAN),
        operation_table([operation(), operation(detail=HOSTILE, state=State.ABORTED)], NOON),
        outcome_table([OutcomeCount("skipped", "already_replaying", 3)]),
        item_table([item]),
    ):
        assert table is not None
        text = drawn(table)
        assert all(len(line) <= 80 for line in text.splitlines()), text
        assert not set(text) & set("\x1b\u202e\u2028\u2066"), text


def test_a_plan_of_nothing() -> None:
    """It says so, and has no counts."""
    empty = operation(plan=Plan(), kind=Kind.DISCARD)
    assert dict(plan_fields(empty))["Records"] == "none"
    assert "Pace" not in dict(plan_fields(empty))
    assert plan_counts(Plan()) is None


def test_what_is_said_below_the_bars() -> None:
    """How fast it goes; why it does not; above all that nobody is there to do it."""
    assert state_line(operation(), "host:1") == "40 a second"
    assert state_line(operation(progress=Progress()), "host:1") == "canary, 10 a second"
    assert state_line(operation(state=State.PAUSED, hold="circuit x is OPEN"), "host:1") == "circuit x is OPEN"
    assert state_line(operation(kind=Kind.DISCARD), "host:1") == ""
    assert state_line(operation(), None).startswith("No recorder is running")
    assert state_line(ended(), None) == ""


def test_how_it_ended() -> None:
    """Every number that is not zero, why it was stopped, and what to do about what failed."""
    assert list(end_lines(ended())) == ["7d3f0c2e completed: 1000 of 1000 known, 1000 succeeded"]
    some = ended(State.ABORTED, issued=10, known=999, succeeded=3, failed=5, skipped=990, detail="cause not fixed")
    assert list(end_lines(some)) == [
        "7d3f0c2e aborted: 999 of 1000 known, 3 succeeded, 5 failed, 990 skipped, 1 unconfirmed",
        "cause not fixed",
        "Which failed: fluxora operations items 7d3f0c2e --outcome failed_again",
        "Once mended: fluxora operations run replay --failed-of 7d3f0c2e",
    ]


def test_a_document_says_everything() -> None:
    """Its keys are public: none may go, or change its meaning."""
    found = whole_document(operation(), [OutcomeCount("issued", "", 100)], None)
    assert set(found) == {
        "id", "kind", "state", "reason", "actor", "source", "hold", "held_by", "detail", "filter", "all", "named",
        "ids", "planned_at", "expires_at", "cutoff_at", "started_at", "state_at", "ended_at", "planned", "total",
        "issued", "known", "succeeded", "failed", "skipped", "unconfirmed", "in_flight", "rate", "is_canary", "pace",
        "plan", "outcomes", "executor",
    }  # fmt: skip
    assert (found["in_flight"], found["unconfirmed"], found["rate"]) == (100, 0, 40.0)
    assert found["outcomes"] == [{"outcome": "issued", "why": "", "records": 100}]
    item = item_document(Item(1, FIRST, "succeeded", "", 1, NOON, "g", None, ""))
    assert (item["seq"], item["changed_at"]) == (1, "2026-03-01T12:00:00.000000Z")


class Ledger:
    """An operation that goes on with each look."""

    def __init__(self, *steps: Operation, executor: str | None = "host:1") -> None:
        self._steps = list(steps)
        self._executor = executor

    def get(self, id: str) -> Operation:
        return self._steps.pop(0)

    def executor(self) -> str | None:
        return self._executor


def test_it_is_watched_until_it_is_over() -> None:
    """An aborted one too, until the outcomes of what it had sent are known."""
    steps = [operation(), operation(state=State.ABORTED), ended(State.ABORTED)]
    pauses: list[float] = []
    seen = [look.operation for look in looks(Ledger(*steps), FIRST, pauses.append)]
    assert seen == steps
    assert len(pauses) == 2


def test_a_pipe_gets_one_line_per_change(capsys: pytest.CaptureFixture[str]) -> None:
    """The same again, or less than a percent more, is no news."""
    show = Lines()
    first = operation(issued=600, known=500)
    for one in (first, first, replace(first, known=501), replace(first, known=510), ended()):
        show(Look(one, "host:1"))
    show(Look(ended(), None))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "running  issued 600/1000  known 500/1000  failed 10  40 a second",
        "running  issued 600/1000  known 510/1000  failed 10  40 a second",
        "completed  issued 1000/1000  known 1000/1000  failed 0",
    ]
    assert "\x1b" not in change_line(operation(hold=HOSTILE, state=State.PAUSED), "host:1")


def test_a_terminal_gets_two_bars() -> None:
    """What was sent, and what is known of it; a skipped record will never be sent, so both can be full."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    bars = Bars(console)
    with bars.live:
        bars(Look(operation(hold=HOSTILE, held_by="system", state=State.PAUSED), "host:1"))
        bars(Look(ended(issued=990, skipped=10, succeeded=990), "host:1"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    frames = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", text).splitlines()
    assert all(len(line) <= 80 for line in frames), frames
    assert sum(" 1000/1000 100%" in line for line in frames) >= 2
    assert "\x1b[2J" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("asked", "pace"),
    [
        ({}, Pace()),
        ({"rate": 5.0, "canary": 0, "no_ramp": True, "max_rate": None}, Pace(rate=5.0, canary=0, ramp=False)),
        ({"max_in_flight": 7, "stop_ratio": 0.0}, Pace(max_in_flight=7, stop_ratio=0.0)),
    ],
)
def test_what_is_not_said_has_its_default(asked: dict[str, Any], pace: Pace) -> None:
    """Nought is said, too."""
    assert pace_of(asked) == pace


def test_numbers_as_people_say_them() -> None:
    """Durations and sizes."""
    assert [span(89), span(90), span(5399), span(5400)] == ["89 s", "2 min", "90 min", "1.5 h"]
    assert [size_text(999), size_text(1000), size_text(2_500_000)] == ["999 bytes", "1.0 kB", "2.5 MB"]


def test_celery_knows_the_commands() -> None:
    """`celery -A … operations` is the same group as `fluxora operations`."""
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    plugins = project["project"]["entry-points"]["celery.commands"]
    assert plugins["operations"] == "fluxora_tasks.interfaces.cli.entry_operations:operations"
