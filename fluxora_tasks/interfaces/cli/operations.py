"""`operations …`: what an operator types about many dead letters, translated into operations and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from fluxora_tasks.bulk.operation import Kind, Operation, Pace, PlanDrifted, Selector, State
from fluxora_tasks.errors import ConfigurationError, ConflictError
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import actor_of, check_can_ask, check_choice, no_color
from fluxora_tasks.interfaces.cli.application import extension
from fluxora_tasks.interfaces.cli.errors import ExitCode, Failure
from fluxora_tasks.interfaces.cli.listing import print_page
from fluxora_tasks.interfaces.cli.operation_view import (
    NO_RECORDER,
    end_lines,
    item_document,
    item_table,
    operation_document,
    operation_fields,
    operation_table,
    outcome_table,
    plan_counts,
    plan_fields,
    whole_document,
)
from fluxora_tasks.interfaces.cli.output import print_document, print_title
from fluxora_tasks.interfaces.cli.watching import looks, shown
from fluxora_tasks.operations.bulk import BulkOperations
from fluxora_tasks.operations.context import open_bulk, open_groups
from fluxora_tasks.operations.records import Actor

_PACE = ("rate", "max_rate", "max_in_flight", "canary", "stop_ratio")


def plan(ctx: click.Context, *, kind: str, reason: str | None, actor: str | None, as_json: bool, **asked: Any) -> None:
    """Count what an operation would take, and keep it as a plan."""
    operations = open_operations(ctx)
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json, needs_reason=False)
    operation = _planned(ctx, operations, Kind(kind), who, asked)
    if as_json:
        print_document(operation_document(operation))
        return
    _print_plan(ctx, operation)
    click.echo()
    if operation.plan.total:
        click.echo(f"Start it before {operation.expires_at:%H:%M:%S} UTC:")
        click.echo(f"  fluxora operations start {operation.id[: tables.SHORT_ID]} --reason TEXT")
    else:
        click.echo("No dead letter matches; there is nothing to start.")


def start(
    ctx: click.Context, *, operation_id: str, watches: bool, reason: str | None, actor: str | None, as_json: bool
) -> None:
    """Let a plan run."""
    operations = open_operations(ctx)
    reason = reason or operations.get(operation_id).reason or reason
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    _start(ctx, operations, operation_id, who, watches=watches, as_json=as_json)


def carry_out(
    ctx: click.Context,
    *,
    kind: str,
    yes: bool,
    watches: bool,
    reason: str | None,
    actor: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Plan, ask, start."""
    check_can_ask(ctx, yes=yes, as_json=as_json)
    operations = open_operations(ctx)
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    operation = _planned(ctx, operations, Kind(kind), who, asked)
    if not as_json:
        _print_plan(ctx, operation)
        click.echo()
    if not operation.plan.total:
        if as_json:
            print_document(_whole(operations, operation))
        else:
            click.echo("No dead letter matches; nothing was done.")
        return
    if not yes and not click.confirm(f"{operation.kind} {operation.plan.total} dead letters?", err=True):
        click.echo(f"Nothing was done. The plan {operation.id[: tables.SHORT_ID]} is kept for 15 minutes.")
        ctx.exit(ExitCode.ABORTED)
    _start(ctx, operations, operation.id, who, watches=watches, as_json=as_json)


def carry_out_group(ctx: click.Context, *, group_id: str, **asked: Any) -> None:
    """The same, for the records of one group."""
    group = open_groups(extension(ctx).settings).get(group_id)
    carry_out(ctx, ids=(), filter_text=f"group:{group.id}", failed_of=None, everything=False, **asked)


def watch(ctx: click.Context, *, operation_id: str, as_json: bool) -> None:
    """Show the progress of an operation until it is over."""
    operations = open_operations(ctx)
    operation = operations.get(operation_id)
    if operation.state is State.PLANNED:
        raise ConflictError(f"operation {operation.id} is planned; start it")
    _watch(ctx, operations, operation.id, as_json=as_json)


def change(
    ctx: click.Context, *, change: str, operation_id: str, reason: str | None, actor: str | None, as_json: bool
) -> None:
    """Pause, resume or cancel an operation."""
    operations = open_operations(ctx)
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    steps = {"pause": operations.pause, "resume": operations.resume, "cancel": operations.cancel}
    operation = steps[change](operation_id, who)
    if as_json:
        print_document(_whole(operations, operation))
        return
    click.echo(f"{operation.id} {operation.state}")
    if operation.in_flight:
        click.echo(f"{operation.in_flight} messages have been sent; their outcomes are awaited.")
    _warn_of_no_recorder(operations, operation)


def list_page(ctx: click.Context, *, limit: int, cursor: str | None, as_json: bool) -> None:
    """One page of operations."""
    page = open_operations(ctx).list(limit=limit, cursor=cursor)
    print_page(
        ctx,
        page,
        document=operation_document,
        table=lambda _console: operation_table(page.items, datetime.now(UTC)),
        nothing="No operations.",
        as_json=as_json,
    )


def show(ctx: click.Context, *, operation_id: str, as_json: bool) -> None:
    """One operation, whole."""
    operations = open_operations(ctx)
    operation = operations.get(operation_id)
    if as_json:
        print_document(_whole(operations, operation))
        return
    console = tables.console(no_color=no_color(ctx))
    executor = None if operation.is_over else operations.executor()
    tables.print_table(console, tables.fields(list(operation_fields(operation, executor))))
    outcomes = operations.outcomes(operation.id)
    if outcomes:
        print_title("Outcomes")
        tables.print_table(console, outcome_table(outcomes))
    print_title("Plan")
    _print_plan(ctx, operation)


def list_items(
    ctx: click.Context, *, operation_id: str, outcome: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Some records of an operation, and what became of them."""
    page = open_operations(ctx).items(operation_id, outcome, limit=limit, cursor=cursor)
    print_page(
        ctx,
        page,
        document=item_document,
        table=lambda _console: item_table(page.items),
        nothing="No record matches." if outcome or cursor else "No records: it was not started, or has only just been.",
        as_json=as_json,
    )


def open_operations(ctx: click.Context) -> BulkOperations:
    """The operations on this app's ledger, with its circuits and queues."""
    found = extension(ctx)
    return open_bulk(found.settings, found.surroundings)


def exit_code_of(operation: Operation) -> ExitCode:
    """0 if every record succeeded, or it still runs; 3 if not every one did; 5 if it was stopped."""
    if operation.state in (State.ABORTED, State.CANCELLED):
        return ExitCode.ABORTED
    if operation.state is State.COMPLETED and operation.succeeded < operation.total:
        return ExitCode.PARTIAL
    return ExitCode.OK


def pace_of(asked: Mapping[str, Any]) -> Pace:
    """The pace, with defaults where nothing is said.

    Raises:
        ConfigurationError: some of it does not go together.
    """
    said = {name: asked[name] for name in _PACE if asked.get(name) is not None}
    return Pace(**said, ramp=not asked.get("no_ramp"))


def _planned(
    ctx: click.Context, operations: BulkOperations, kind: Kind, who: Actor, asked: Mapping[str, Any]
) -> Operation:
    ids, filter_text, everything = asked["ids"], asked["filter_text"], asked["everything"]
    pace = pace_of(asked)
    if kind is not Kind.REPLAY and asdict(pace) != asdict(Pace()):
        raise ConfigurationError(f"only a replay has a pace; leave it out to {kind}")
    if asked["failed_of"] is None:
        check_choice(ctx, ids, filter_text, everything)
        selector = Selector(ids, filter_text or "", everything)
    elif ids or filter_text is not None or everything:
        raise click.UsageError("--failed-of says which ones; leave out ids, --filter and --all", ctx)
    else:
        selector = operations.failed_of(asked["failed_of"])
    return operations.plan(kind, selector, pace, who)


def _start(
    ctx: click.Context, operations: BulkOperations, operation_id: str, who: Actor, *, watches: bool, as_json: bool
) -> None:
    try:
        operation = operations.start(operation_id, who)
    except PlanDrifted:
        if not as_json:
            _print_plan(ctx, operations.get(operation_id))
        raise
    if watches:
        _watch(ctx, operations, operation.id, as_json=as_json)
        return
    if as_json:
        print_document(_whole(operations, operation))
        return
    click.echo(f"Started {operation.id}.")
    click.echo(f"Follow it: fluxora operations watch {operation.id[: tables.SHORT_ID]}")
    _warn_of_no_recorder(operations, operation)


def _watch(ctx: click.Context, operations: BulkOperations, operation_id: str, *, as_json: bool) -> None:
    """Show it until it is over, then leave with its code; whoever stops watching stops nothing else."""
    try:
        with shown(no_color=no_color(ctx), silent=as_json) as show_look:
            for look in looks(operations, operation_id, time.sleep):
                show_look(look)
    except KeyboardInterrupt:
        short = operation_id[: tables.SHORT_ID]
        text = f"stopped watching; operation {short} goes on: fluxora operations watch|pause|cancel {short}"
        raise Failure(ExitCode.ABORTED, "watch.stopped", text, as_json=as_json) from None
    operation = operations.get(operation_id)
    if as_json:
        print_document(_whole(operations, operation))
    else:
        console = tables.console(no_color=no_color(ctx))
        for line in end_lines(operation):
            console.print(tables.whole(line))
    ctx.exit(exit_code_of(operation))


def _print_plan(ctx: click.Context, operation: Operation) -> None:
    console = tables.console(no_color=no_color(ctx))
    tables.print_table(console, tables.fields(list(plan_fields(operation))))
    counts = plan_counts(operation.plan)
    if counts is not None:
        click.echo()
        tables.print_table(console, counts)


def _warn_of_no_recorder(operations: BulkOperations, operation: Operation) -> None:
    if not operation.is_over and operations.executor() is None:
        click.echo(NO_RECORDER, err=True)


def _whole(operations: BulkOperations, operation: Operation) -> dict[str, Any]:
    return whole_document(operation, operations.outcomes(operation.id), operations.executor())
