"""`groups …`: what an operator types about groups, translated into operations and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import explain
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import actor_of
from fluxora_tasks.interfaces.cli.application import extension
from fluxora_tasks.interfaces.cli.listing import finish, print_page
from fluxora_tasks.interfaces.cli.output import (
    age,
    one_line,
    print_document,
    print_fields,
    print_title,
    printable,
    time_text,
)
from fluxora_tasks.ledger.records import Group
from fluxora_tasks.operations.context import open_groups
from fluxora_tasks.operations.groups import Groups


def list_page(ctx: click.Context, *, states: tuple[str, ...], limit: int, cursor: str | None, as_json: bool) -> None:
    """One page of groups."""
    page = open_operations(ctx).list(states, limit=limit, cursor=cursor)
    print_page(
        ctx,
        page,
        document=group_document,
        table=lambda _console: _table(page.items, datetime.now(UTC)),
        nothing="No group matches." if states or cursor else "No groups.",
        as_json=as_json,
    )


def show(ctx: click.Context, *, group_id: str, as_json: bool) -> None:
    """One group, and why its failures are alike."""
    group = open_operations(ctx).get(group_id)
    if as_json:
        print_document(group_document(group))
        return
    print_fields(_fields(group))
    print_title("Why this group")
    for label, text in explain(Fingerprint(group.step, tuple(group.parts), group.fingerprint_version)):
        click.echo(f"  {printable(label)}: {printable(text)}")


def set_state(
    ctx: click.Context, *, ids: tuple[str, ...], state: str, reason: str | None, actor: str | None, as_json: bool
) -> None:
    """Say where groups stand."""
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    finish(ctx, open_operations(ctx).set_state(ids, state, who), as_json=as_json)


def merge(
    ctx: click.Context, *, ids: tuple[str, ...], into: str, reason: str | None, actor: str | None, as_json: bool
) -> None:
    """Say that groups are one with another."""
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    finish(ctx, open_operations(ctx).merge(ids, into, who), as_json=as_json)


def unmerge(ctx: click.Context, *, ids: tuple[str, ...], reason: str | None, actor: str | None, as_json: bool) -> None:
    """Take that back."""
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    finish(ctx, open_operations(ctx).unmerge(ids, who), as_json=as_json)


def open_operations(ctx: click.Context) -> Groups:
    """The operations on the groups of this app's ledger."""
    return open_groups(extension(ctx).settings)


def group_document(group: Group) -> dict[str, Any]:
    """One group; its keys are public."""
    times = ("first_failed_at", "last_failed_at", "state_at")
    return asdict(group) | {name: time_text(getattr(group, name)) for name in times}


def _table(groups: Any, now: datetime) -> Table:
    rows = [
        (group.id, group.state, str(group.pending + group.failed), str(group.failures), age(group.last_failed_at, now),
         _error(group))
        for group in groups
    ]  # fmt: skip
    return tables.plain("GROUP", "STATE", "WAITING", "FAILURES", "AGE", "ERROR", rows=rows)


def _error(group: Group) -> str:
    return one_line(f"{group.task or '-'}: {tables.error_line(group)}", 200)


def _fields(group: Group) -> list[tuple[str, str]]:
    statuses = ("pending", "failed", "retrying", "resolved", "discarded")
    said = f" by {group.actor}: {group.reason}" if group.actor else ""
    return [
        ("Group", group.id),
        ("State", f"{group.state} since {tables.seconds(group.state_at)} UTC{said}"),
        ("Error", f"{group.exception_type or group.kind}: {group.message}"),
        ("Task", group.task or "-"),
        ("Records", ", ".join(f"{getattr(group, name)} {name}" for name in statuses if getattr(group, name)) or "none"),
        ("Failures", f"{group.failures}" + (f", {group.regressions} regressions" if group.regressions else "")),
        ("Failed", tables.first_and_last(group)),
        *([("Merged", ", ".join(group.merged))] if group.merged else []),
    ]
