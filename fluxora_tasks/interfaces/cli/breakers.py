"""`breakers …`: what an operator types about circuits, translated into operations and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from fluxora_tasks.breaker.record import Override, Transition
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import actor_of, check_choice, no_color
from fluxora_tasks.interfaces.cli.application import application, extension
from fluxora_tasks.interfaces.cli.listing import finish, print_items, print_page
from fluxora_tasks.interfaces.cli.output import one_line, print_document, printable, time_text
from fluxora_tasks.operations.acting import time_of
from fluxora_tasks.operations.breakers import (
    BreakerOperations,
    CircuitDetail,
    CircuitSummary,
    open_breakers,
)
from fluxora_tasks.operations.records import ActionResult, Actor

_Act = Callable[[BreakerOperations, Sequence[str], Actor], Sequence[ActionResult]]


def list_page(ctx: click.Context, *, filter_text: str, limit: int, cursor: str | None, as_json: bool) -> None:
    """One page of circuits."""
    page = open_operations(ctx).list(filter_text, limit=limit, cursor=cursor)
    print_page(
        ctx,
        page,
        document=summary_document,
        table=lambda console: tables.circuits(page.items),
        nothing="No circuit matches." if filter_text or cursor else "No circuits: none has been used yet.",
        as_json=as_json,
    )


def show(ctx: click.Context, *, name: str, as_json: bool) -> None:
    """One circuit, whole."""
    detail = open_operations(ctx).get(name)
    if as_json:
        print_document(detail_document(detail))
        return
    for label, value in _fields(detail):
        click.echo(f"{click.style(f'{label:<10}', bold=True)} {printable(value)}")
    click.echo()
    click.secho("History", bold=True)
    _print_history(ctx, detail.history)


def history(ctx: click.Context, *, name: str, limit: int, as_json: bool) -> None:
    """The latest changes of a circuit, newest first."""
    lines = open_operations(ctx).history(name, limit)
    if as_json:
        print_items([line_document(line) for line in lines])
        return
    _print_history(ctx, lines)


def force(ctx: click.Context, *, override: str, seconds: float | None, **chosen: Any) -> None:
    """Decide instead of circuits."""
    expected = chosen.pop("expected")
    _act(ctx, lambda o, names, who: o.force(names, Override(override), seconds, who, expected), **chosen)


def release(ctx: click.Context, *, soft: bool, **chosen: Any) -> None:
    """Let circuits decide again."""
    expected = chosen.pop("expected")
    _act(ctx, lambda o, names, who: o.release(names, who, soft, expected), **chosen)


def trip(ctx: click.Context, *, seconds: float | None, **chosen: Any) -> None:
    """Open circuits as if they had tripped."""
    expected = chosen.pop("expected")
    _act(ctx, lambda o, names, who: o.trip(names, seconds, who, expected), **chosen)


def reset(ctx: click.Context, **chosen: Any) -> None:
    """Close circuits, with nothing counted."""
    expected = chosen.pop("expected")
    _act(ctx, lambda o, names, who: o.reset(names, who, expected), **chosen)


def open_operations(ctx: click.Context) -> BreakerOperations:
    """The operations on the circuits of this app."""
    return open_breakers(extension(ctx).breakers)


def summary_document(item: CircuitSummary) -> dict[str, Any]:
    """One row; its keys are public."""
    times = {name: time_text(getattr(item, name)) for name in ("since", "until", "override_until")}
    return asdict(item) | times


def detail_document(detail: CircuitDetail) -> dict[str, Any]:
    """One circuit, whole; its keys are public."""
    return summary_document(detail.summary) | {
        "leases": dict(detail.leases),
        "reporters": list(detail.reporters),
        "late": detail.late,
        "refused": detail.refused,
        "history": [line_document(line) for line in detail.history],
    }


def line_document(line: Transition) -> dict[str, Any]:
    """One change; its keys are public."""
    return {
        "at": time_text(time_of(line.at_ms)),
        "event": line.event,
        "from": line.previous,
        "to": line.current,
        "reason": line.reason,
        "generation": line.generation,
        "reporter": line.reporter,
        "actor": line.actor,
        "why": line.why,
        "facts": dict(line.facts),
    }


def _act(
    ctx: click.Context,
    act: _Act,
    *,
    names: tuple[str, ...],
    filter_text: str | None,
    everything: bool,
    reason: str | None,
    actor: str | None,
    as_json: bool,
) -> None:
    check_choice(ctx, names, filter_text, everything, "circuits")
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    _learn_policies(ctx, as_json)
    operations = open_operations(ctx)
    results = act(operations, names or operations.names(filter_text or ""), who)
    finish(ctx, results, as_json=as_json, nothing="No circuit matches; nothing was done.")


def _learn_policies(ctx: click.Context, as_json: bool) -> None:
    """Import the app's tasks, which say what rules circuits have; one that cannot be keeps no operator from acting."""
    try:
        application(ctx).loader.import_default_modules()
    except Exception as error:  # noqa: BLE001  whatever a module raises
        if not as_json:
            text = one_line(f"{type(error).__name__}: {error}", 200)
            click.echo(f"Not all tasks can be imported ({text}): rules that they declare are not known here.", err=True)


def _fields(detail: CircuitDetail) -> list[tuple[str, str]]:
    item = detail.summary
    rate = "" if item.failure_rate is None else f", {item.failure_rate:.0%} failed"
    override = item.override
    if override != "NONE":
        until = f"until {tables.seconds(item.override_until)} UTC" if item.override_until else "without end"
        override = f"{override} {until} by {item.override_by}: {item.override_why}"
    fields = [
        ("Circuit", item.name),
        (
            "State",
            item.state if item.state == item.automatic_state else f"{item.state} (by itself {item.automatic_state})",
        ),
        ("Since", f"{tables.seconds(item.since)} UTC" if item.since else "-"),
        ("Until", f"{tables.seconds(item.until)} UTC" if item.until else "-"),
        ("Reason", item.reason or "-"),
        ("Override", override),
        ("Calls", f"{item.calls}: {item.failures} failed, {item.slow} slow{rate}"),
        ("Openings", f"{item.attempts} lengthen the cooldown"),
        ("Refused", f"{detail.refused} calls; {detail.late} results came too late"),
        ("Reporters", ", ".join(detail.reporters) or "-"),
        ("Probes", ", ".join(f"{lease} ({left:.1f} s left)" for lease, left in detail.leases.items()) or "-"),
        ("Generation", str(item.generation)),
    ]
    return [(label, " ".join(value.split())) for label, value in fields]


def _print_history(ctx: click.Context, lines: Sequence[Transition]) -> None:
    console = tables.console(no_color=no_color(ctx))
    tables.print_table(console, tables.changes([_row(line) for line in lines], console.width))


def _row(line: Transition) -> list[str]:
    facts = " ".join(f"{name}={value}" for name, value in line.facts.items() if not name.endswith("_ms"))
    who = line.actor or line.reporter
    at = datetime.fromtimestamp(line.at_ms / 1000, UTC)
    moved = line.current if line.current == line.previous else f"{line.previous} > {line.current}"
    return [f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3], line.event, moved, line.reason, who, " ".join((line.why, facts)).strip()]
