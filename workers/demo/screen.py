"""What the demo shows: a live bar, the ledger as a table, the report; plain text where there is no terminal [rich]."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from fluxora_tasks.journal import JournalCounts
from fluxora_tasks.operations.records import DeadLetterDetail
from workers.demo.report import Report, document


class Screen:
    """The terminal; with ``as_json`` everything but the document goes to stderr, and only if that is a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(
            stderr=as_json, quiet=as_json and not sys.stderr.isatty(), highlight=False, soft_wrap=False
        )

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(escape(text))

    def title(self, text: str) -> None:
        """The beginning of a part."""
        self._console.print(Text(text, style="bold"))

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Bar]:
        """A live bar of messages; without a terminal only its last state is shown."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=14),
            TextColumn("{task.completed}/{task.total} succeeded,"),
            TextColumn("[yellow]{task.fields[retried]}[/] retried, [red]{task.fields[dead]}[/] dead"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            yield Bar(progress, progress.add_task(what, total=total, retried=0, dead=0))

    def ledger(self, letters: Sequence[DeadLetterDetail]) -> None:
        """What died, and why."""
        table = Table("id", "task and arguments", "why", box=None, pad_edge=False, header_style="bold")
        for letter in letters:
            table.add_row(*map(Text, _row(letter)))
        self._console.print(table)

    def report(self, report: Report, wrong: Sequence[str]) -> None:
        """The figures, as JSON where that was asked for, and the verdict on them."""
        if self._as_json:
            print(json.dumps(document(report)))
        else:
            self.title("Report")
            self._console.print(_figures(report))
            self.title("The circuit of the demand service")
            self._console.print(_circuit(report))
            if not wrong:
                self.say("As expected: nothing was lost.")
        for line in wrong:
            print(f"Not as expected: {line}.", file=sys.stderr if self._as_json else sys.stdout)


class Bar:
    """One live bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def show(self, counts: JournalCounts, resolved: int = 0) -> None:
        """Show how far it is."""
        self._progress.update(
            self._task,
            completed=counts.succeeded + resolved,
            retried=counts.retried,
            dead=counts.dead_lettered - resolved,
        )


def _row(letter: DeadLetterDetail) -> tuple[str, str, str]:
    summary = letter.summary
    arguments = " ".join(str(argument) for argument in letter.args or [])
    return (
        summary.id[:8],
        f"{summary.task.rpartition('.')[2]}\n{arguments}",
        f"{summary.exception_type.rpartition('.')[2]}: {summary.message}",
    )


def _figures(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_row("messages sent", str(report.sent))
    table.add_row("succeeded", str(report.succeeded))
    table.add_row("retried", str(report.retried), "attempts")
    table.add_row("dead-lettered", str(report.dead_lettered))
    table.add_row("  replayed", str(report.replayed))
    table.add_row("  resolved", str(report.resolved))
    table.add_row(
        "  still dead", str(report.unresolved), "the unknown region, which is right" if report.unresolved == 1 else ""
    )
    table.add_row("lost", Text(str(report.lost), style="bold green" if report.lost == 0 else "bold red"))
    table.add_row("forecast error", _percent(report.forecast_mape), "mean absolute percentage error")
    table.add_row("week before", _percent(report.baseline_mape), "the same, seasonal-naive, on the same days")
    table.add_row("refused", str(report.refused), "by the open circuit; they came again, no attempt used")
    table.add_row("outlooks", str(report.outlooks), f"{report.degraded} from the last good answer, and they say so")
    table.add_row("took", f"{report.seconds:.1f} s")
    return table


def _circuit(report: Report) -> Table:
    table = Table("after", "from", "to", "because", box=None, pad_edge=False, header_style="bold")
    for turn in report.circuit:
        table.add_row(f"{turn.at:.1f} s", turn.previous, turn.current, turn.reason)
    return table


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} %"
