"""Watching a bulk operation: two bars on a terminal, one line per change in a pipe [rich].

Two bars, because what was sent has no outcome yet: it is done when the second one is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from fluxora_tasks.bulk.operation import Operation
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.operation_view import change_line, records_of, state_line

#: Seconds between two looks at the ledger.
_PAUSE: Final = 0.3


class Reader(Protocol):
    """The part of the operations that watching needs."""

    def get(self, id: str) -> Operation:
        """One operation."""
        ...

    def executor(self) -> str | None:
        """Who carries operations out."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """An operation, and who carries it out, at one moment."""

    operation: Operation
    executor: str | None


def looks(reader: Reader, operation_id: str, pause: Callable[[float], None]) -> Iterator[Look]:
    """The operation, again and again until it is over."""
    while True:
        look = Look(reader.get(operation_id), reader.executor())
        yield look
        if look.operation.is_over:
            return
        pause(_PAUSE)


@contextmanager
def shown(*, no_color: bool, silent: bool) -> Iterator[Callable[[Look], None]]:
    """What shows each look: bars on a terminal, lines in a pipe, nothing when ``silent``."""
    console = tables.console(no_color=no_color)
    if silent:
        yield lambda look: None
    elif not console.is_terminal:
        yield Lines()
    else:
        bars = Bars(console)
        with bars.live:
            yield bars


class Lines:
    """One line per change: of the state, of what is said about it, or of a whole percent."""

    def __init__(self) -> None:
        self._told: Any = None

    def __call__(self, look: Look) -> None:
        """Print a line if there is news."""
        operation = look.operation
        total = max(records_of(operation), 1)
        percents = (operation.issued * 100 // total, operation.known * 100 // total)
        news = (operation.state, state_line(operation, look.executor), percents, operation.is_over)
        if news != self._told:
            self._told = news
            click.echo(change_line(operation, look.executor))


class Bars:
    """Two bars and a line below them."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            expand=True,
        )
        self._issued = self._progress.add_task("issued", total=None)
        self._known = self._progress.add_task("outcome known", total=None)
        self.live = Live(self._progress, console=console, refresh_per_second=8)

    def __call__(self, look: Look) -> None:
        """Draw it as it stands."""
        operation = look.operation
        total = records_of(operation)
        # what is skipped is never issued: its share is known, and does not have to be waited for
        self._progress.update(self._issued, total=total, completed=operation.issued + operation.skipped)
        self._progress.update(self._known, total=total, completed=operation.known)
        line = f"{operation.state}  {operation.failed} failed  {state_line(operation, look.executor)}"
        self.live.update(Group(self._progress, tables.whole(line)), refresh=True)
