"""Lists and results, as every group of commands shows them: as one document, or as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import click
from rich.console import Console
from rich.table import Table

from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import exit_code_of, no_color
from fluxora_tasks.interfaces.cli.output import print_document
from fluxora_tasks.operations.records import ActionResult


class Page(Protocol):
    """Some items, how many there are, and where the next ones begin."""

    @property
    def items(self) -> Sequence[Any]: ...

    @property
    def total(self) -> int: ...

    @property
    def next(self) -> str | None: ...


def print_items(items: Sequence[Mapping[str, Any]], *, total: int | None = None, following: str | None = None) -> None:
    """A list as one document; ``total`` where there are more than these."""
    print_document({"items": items, "total": len(items) if total is None else total, "next": following})


def print_page(
    ctx: click.Context,
    page: Page,
    *,
    document: Callable[[Any], Mapping[str, Any]],
    table: Callable[[Console], Table],
    nothing: str,
    as_json: bool,
    is_exact: bool = True,
) -> None:
    """One page of a list; ``nothing`` where it is empty, ``is_exact`` where its total is no lower bound."""
    if as_json:
        print_items([document(item) for item in page.items], total=page.total, following=page.next)
        return
    if not page.items:
        click.echo(nothing)
        return
    console = tables.console(no_color=no_color(ctx))
    tables.print_table(console, table(console))
    click.echo(f"\n{len(page.items)} of {'' if is_exact else 'at least '}{page.total}")
    if page.next:
        click.echo(f"Next page: --cursor {page.next}")


def finish(ctx: click.Context, results: Sequence[ActionResult], *, as_json: bool, nothing: str = "") -> None:
    """What became of each name; then leave with the code of that."""
    if as_json:
        print_items([asdict(one) for one in results])
    elif results:
        tables.print_table(tables.console(no_color=no_color(ctx)), tables.named_results(results))
    else:
        click.echo(nothing)
    ctx.exit(exit_code_of(one.outcome for one in results))
