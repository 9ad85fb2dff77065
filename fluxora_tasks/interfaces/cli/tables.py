"""Tables, on a terminal and in a pipe [rich].

A terminal gets as many columns as fit; a pipe gets every column, one line per row, no colour, no cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import click
from rich.cells import cell_len
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from fluxora_tasks.interfaces.cli.output import age, one_line, printable
from fluxora_tasks.operations.breakers import CircuitSummary
from fluxora_tasks.operations.records import ActionResult, DeadLetterSummary, HistoryEntry

#: Characters of an id in a table; enough to name it again.
SHORT_ID = 8

#: Columns of a terminal from which the wide list is shown.
_WIDE = 132

#: Columns of a pipe: more than any row has.
_UNBOUNDED = 10_000

_NUMBERS = frozenset(
    {
        "TRIES",
        "REPLAYS",
        "AGE",
        "COUNT",
        "CALLS",
        "FAILED",
        "WAITING",
        "FAILURES",
        "NUMBER",
        "BYTES",
        "RECORDS",
        "KNOWN",
    }
)

#: Columns that are cut first where a terminal is too narrow.
_YIELDING = frozenset({"ERROR", "DETAIL", "TASK", "CIRCUIT", "NAME", "TOGGLE", "OVERRIDE BY"})

_COLOURS = {
    "PENDING": "yellow",
    "RETRYING": "cyan",
    "RESOLVED": "green",
    "FAILED": "red",
    "DISCARDED": "dim",
    "CLOSED": "green",
    "HALF_OPEN": "yellow",
    "OPEN": "red",
    "FORCED_OPEN": "red",
    "open": "yellow",
    "regressed": "red",
    "done": "green",
    "unknown": "red",
    "conflict": "yellow",
    "refused": "yellow",
    "failed": "red",
    "planned": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "completed": "green",
    "cancelled": "dim",
    "aborted": "red",
    "pending": "dim",
    "issued": "cyan",
    "succeeded": "green",
    "failed_again": "red",
    "publish_failed": "red",
    "skipped": "yellow",
    "unconfirmed": "yellow",
}


def console(*, no_color: bool = False) -> Console:
    """A console that takes payloads for text, never for markup."""
    plain = Console(markup=False, highlight=False, emoji=False, no_color=no_color or None)
    return (
        plain
        if plain.is_terminal
        else Console(markup=False, highlight=False, emoji=False, no_color=True, width=_UNBOUNDED)
    )


def print_table(target: Console, table: Table) -> None:
    """Print it; in a pipe without the spaces that fill the last column."""
    if target.is_terminal:
        target.print(table)
        return
    with target.capture() as captured:
        target.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


class Teller:
    """Lines that stay, and one line that changes while something is awaited."""

    def __init__(self, target: Console, live: Status | None, *, silent: bool) -> None:
        self._target = target
        self._live = live
        self._silent = silent

    def line(self, *words: str | Text) -> None:
        """Print a line that stays."""
        if not self._silent:
            parts = [cell(word) if isinstance(word, str) else word for word in words]
            self._target.print(Text("  ").join(parts), no_wrap=True, overflow="ellipsis")

    def state(self, text: str) -> None:
        """Change the live line; a pipe has none."""
        if self._live is not None:
            self._live.update(text)


@contextmanager
def live_line(*, no_color: bool, silent: bool) -> Iterator[Teller]:
    """A live line on a terminal; nothing of the kind in a pipe, or when ``silent``."""
    target = console(no_color=no_color)
    if silent or not target.is_terminal:
        yield Teller(target, None, silent=silent)
        return
    with target.status("") as live:
        yield Teller(target, live, silent=silent)


def dead_letters(items: Sequence[DeadLetterSummary], now: datetime, width: int) -> Table:
    """The list, in the form that fits ``width`` columns."""
    return _wide(items, now) if width >= _WIDE else _narrow(items, now, width)


def results(items: Sequence[ActionResult]) -> Table:
    """What became of each record of an action."""
    table = _table("ID", "OUTCOME", "STATUS", "DETAIL")
    for item in items:
        table.add_row(
            cell(item.id[:36] if item.outcome == "unknown" else item.id[:SHORT_ID]),
            status(item.outcome),
            status(item.status or "-"),
            whole(item.detail),
        )
    return table


def named_results(items: Sequence[ActionResult]) -> Table:
    """What became of each thing that has a name."""
    table = _table("NAME", "OUTCOME", "STATE", "DETAIL")
    for item in items:
        table.add_row(whole(item.id), status(item.outcome), status(item.status or "-"), whole(item.detail))
    return table


def circuits(items: Sequence[CircuitSummary]) -> Table:
    """Circuits, by name."""
    table = _table("CIRCUIT", "STATE", "CALLS", "FAILED", "UNTIL (UTC)", "OVERRIDE BY")
    for item in items:
        until = item.override_until or item.until
        failed = "-" if item.failure_rate is None else f"{item.failure_rate:.0%}"
        table.add_row(
            whole(item.name),
            status(item.state),
            str(item.calls),
            failed,
            seconds(until) if until else "-",
            whole(item.override_by or "-"),
        )
    return table


def changes(rows: Sequence[Sequence[str]], width: int, of: str = "REASON") -> Table:
    """What happened, newest first; where ``width`` is small, what differs in length shares one column."""
    if width >= _WIDE:
        return plain("AT (UTC)", "EVENT", "CHANGE", of, "BY", "DETAIL", rows=rows)
    table = _table("AT (UTC)", "EVENT", "CHANGE", "DETAIL")
    for at, event, change, *rest in rows:
        table.add_row(cell(at), cell(event), cell(change), whole(", ".join(filter(None, rest))))
    return table


def switches(rows: Sequence[Sequence[str]]) -> Table:
    """Toggles, modes and levels."""
    return plain("TOGGLE", "VALUE", "UNTIL (UTC)", "BY", "DETAIL", rows=rows)


def history(entries: Sequence[HistoryEntry]) -> Table:
    """What happened to one record, oldest first."""
    table = _table("AT (UTC)", "EVENT", "REPLAY", "BY", "DETAIL")
    for entry in entries:
        table.add_row(
            cell(seconds(entry.at)),
            cell(entry.event),
            str(entry.replay_no or ""),
            cell(entry.actor),
            whole(entry.detail),
        )
    return table


def plain(*columns: str, rows: Sequence[Sequence[str]]) -> Table:
    """Any rows of text."""
    table = _table(*columns)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def fields(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values; a terminal shows a long value on as many lines as it needs, beside its name."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, whole(value))
    return table


def cell(value: str) -> Text:
    """A payload's text on one line, cut by the table where it must be."""
    return Text(one_line(value), no_wrap=True, overflow="ellipsis")


def whole(value: str) -> Text:
    """A payload's text, none of it cut: a terminal shows it on as many lines as it needs."""
    return Text(one_line(value), overflow="fold")


def status(name: str) -> Text:
    """A status or outcome in its colour."""
    return Text(printable(name), style=_COLOURS.get(name, ""), no_wrap=True)


def seconds(moment: datetime) -> str:
    """A time as people read it; UTC, as every time of ours."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class Failing(Protocol):
    """What shows its newest failure: a dead letter, or a group of them."""

    @property
    def kind(self) -> str: ...

    @property
    def exception_type(self) -> str: ...

    @property
    def message(self) -> str: ...

    @property
    def first_failed_at(self) -> datetime: ...

    @property
    def last_failed_at(self) -> datetime: ...


def first_and_last(item: Failing) -> str:
    """When it failed first, and last."""
    return f"first {seconds(item.first_failed_at)}, last {seconds(item.last_failed_at)} UTC"


def error_line(item: Failing) -> str:
    """Last part of the exception's name with its text; the kind where there was no exception."""
    name = item.exception_type.rpartition(".")[2] or item.kind
    return one_line(f"{name}: {item.message}" if item.message else name, 200)


def _narrow(items: Sequence[DeadLetterSummary], now: datetime, width: int) -> Table:
    table = _table("ID", "STATUS", "TASK", "ERROR", "TRIES", "AGE")
    names = [one_line(item.task or "-") for item in items]
    fixed = SHORT_ID + len("DISCARDED") + len("TRIES") + len("365d") + 5 * 2
    left = max(20, width - fixed)
    for item, name in zip(items, names, strict=True):
        table.add_row(
            item.id[:SHORT_ID],
            status(item.status),
            cell(_last_part(name, left * 2 // 5)),
            cell(error_line(item)),
            str(item.attempts),
            age(item.last_failed_at, now),
        )
    return table


def _wide(items: Sequence[DeadLetterSummary], now: datetime) -> Table:
    del now  # a wide row has room for the time itself
    table = _table("ID", "STATUS", "KIND", "LAST FAILED (UTC)", "TRIES", "REPLAYS", "QUEUE", "TASK", "ERROR")
    for item in items:
        table.add_row(
            item.id[:SHORT_ID],
            status(item.status),
            cell(item.kind),
            seconds(item.last_failed_at),
            str(item.attempts),
            str(item.replays),
            cell(item.queue),
            cell(item.task or "-"),
            cell(error_line(item)),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        # rich takes what is missing in width from the columns that may wrap; their cells are cut all the same
        table.add_column(name, no_wrap=name not in _YIELDING, justify="right" if name in _NUMBERS else "left")
    return table


def _last_part(name: str, room: int) -> str:
    """The end of a dotted name, which is the part that tells; cut at a dot where one of its parts fits."""
    if cell_len(name) <= room:
        return name
    parts = name.split(".")
    ends = (f"…{'.'.join(parts[start:])}" for start in range(1, len(parts)))
    return next((end for end in ends if cell_len(end) <= room), _cut_left(parts[-1], room))


def _cut_left(word: str, room: int) -> str:
    while word and cell_len(word) >= room:
        word = word[1:]
    return f"…{word}"
