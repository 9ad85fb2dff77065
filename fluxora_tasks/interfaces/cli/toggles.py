"""`toggles …`: what an operator types about switches, translated into operations and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from fluxora_tasks.fallback.toggles import SwitchChange
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import actor_of, no_color
from fluxora_tasks.interfaces.cli.application import extension
from fluxora_tasks.interfaces.cli.listing import finish, print_items
from fluxora_tasks.interfaces.cli.output import time_text
from fluxora_tasks.operations.acting import time_of
from fluxora_tasks.operations.toggles import SwitchSummary, ToggleOperations, open_toggles


def list_all(ctx: click.Context, *, as_json: bool) -> None:
    """Every switch that is set."""
    items = open_operations(ctx).list()
    if as_json:
        print_items([summary_document(item) for item in items])
    elif not items:
        click.echo("No toggle is set.")
    else:
        rows = [_row(item) for item in items]
        tables.print_table(tables.console(no_color=no_color(ctx)), tables.switches(rows))


def history(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """The latest changes, newest first."""
    lines = open_operations(ctx).history(limit)
    if as_json:
        print_items([change_document(line) for line in lines])
        return
    rows = [
        [
            _at(line.at_ms),
            line.event,
            f"{line.previous or '-'} > {line.current or '-'}",
            _shown(line),
            line.actor,
            line.why,
        ]
        for line in lines
    ]
    console = tables.console(no_color=no_color(ctx))
    tables.print_table(console, tables.changes(rows, console.width, of="SWITCH"))


def set_value(
    ctx: click.Context,
    *,
    ids: tuple[str, ...],
    value: str,
    seconds: float | None,
    members: tuple[str, ...],
    reason: str | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Set switches."""
    sets = dict(_member(ctx, text) for text in members)
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    finish(ctx, open_operations(ctx).set(ids, value, seconds, who, sets), as_json=as_json)


def unset(ctx: click.Context, *, ids: tuple[str, ...], reason: str | None, actor: str | None, as_json: bool) -> None:
    """Have switches no more."""
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    finish(ctx, open_operations(ctx).unset(ids, who), as_json=as_json)


def open_operations(ctx: click.Context) -> ToggleOperations:
    """The operations on the switches of this app."""
    return open_toggles(extension(ctx).store)


def summary_document(item: SwitchSummary) -> dict[str, Any]:
    """One row; its keys are public."""
    return asdict(item) | {"since": time_text(item.since), "until": time_text(item.until)}


def change_document(line: SwitchChange) -> dict[str, Any]:
    """One change; its keys are public."""
    return {
        "at": time_text(time_of(line.at_ms)),
        "event": line.event,
        "kind": line.kind,
        "name": line.name,
        "from": line.previous,
        "to": line.current,
        "actor": line.actor,
        "why": line.why,
        "until": time_text(time_of(line.until_ms)),
    }


def _member(ctx: click.Context, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--sets takes toggle:NAME=VALUE or mode:OPERATION=VALUE; got {text!r}", ctx)
    return key, value


def _row(item: SwitchSummary) -> list[str]:
    until = tables.seconds(item.until) if item.until else "-"
    sets = " ".join(f"{key}={value}" for key, value in item.members.items())
    return [item.id, item.value, until, item.by, " ".join(filter(None, (item.why, sets)))]


def _shown(line: SwitchChange) -> str:
    return line.name if line.kind == "toggle" else f"{line.kind}:{line.name}"


def _at(at_ms: int) -> str:
    moment = time_of(at_ms)
    return tables.seconds(moment) if moment is not None else "-"
