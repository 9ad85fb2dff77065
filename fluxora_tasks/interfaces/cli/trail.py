"""`audit list|export`: who changed what, and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import no_color
from fluxora_tasks.interfaces.cli.application import extension
from fluxora_tasks.interfaces.cli.output import print_document, time_text
from fluxora_tasks.ledger.auditing import TrailQuery
from fluxora_tasks.ledger.records import TrailEntry
from fluxora_tasks.operations.context import open_trail


def list_page(
    ctx: click.Context,
    *,
    limit: int,
    cursor: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """One page of the audit."""
    page = open_trail(extension(ctx).settings).list(_query(asked), limit=limit, cursor=cursor)
    if as_json:
        print_document({"items": [entry_document(entry) for entry in page.items], "next": page.next})
        return
    if not page.items:
        click.echo("No entry of the audit matches." if cursor or any(asked.values()) else "The audit is empty.")
        return
    console = tables.console(no_color=no_color(ctx))
    tables.print_table(console, tables.changes([_row(entry) for entry in page.items], console.width, of="OF"))
    if page.next:
        click.echo(f"\nNext page: --cursor {page.next}")


def export(ctx: click.Context, *, as_json: bool, **asked: Any) -> None:
    """The whole audit, one document a line, in the fields of the Elastic Common Schema."""
    del as_json  # it has no other form
    for entry in open_trail(extension(ctx).settings).export(_query(asked)):
        print_document(ecs_document(entry))


def entry_document(entry: TrailEntry) -> dict[str, Any]:
    """One entry; its keys are public."""
    return asdict(entry) | {"at": time_text(entry.at)}


def ecs_document(entry: TrailEntry) -> dict[str, Any]:
    """One entry as other systems keep logs; what the schema has no name for stands under ``fluxora``."""
    ids = {"dead_letter": entry.dead_letter_id, "group": entry.group_id, "operation": entry.operation_id}
    return {
        "@timestamp": time_text(entry.at),
        "event": {
            "kind": "event",
            "module": "fluxora",
            "dataset": "fluxora.audit",
            "action": entry.event,
            "id": str(entry.seq),
            "reason": entry.reason,
            "provider": entry.source,
        },
        "user": {"name": entry.actor},
        "message": entry.detail,
        "fluxora": {
            **{name: value for name, value in ids.items() if value},
            "from": entry.from_status,
            "to": entry.to_status,
            "replay_no": entry.replay_no,
        },
    }


def _query(asked: dict[str, Any]) -> TrailQuery:
    for name in ("since", "until"):
        if isinstance(asked[name], datetime):
            asked[name] = asked[name].replace(tzinfo=UTC)
    return TrailQuery(**asked)


def _row(entry: TrailEntry) -> list[str]:
    about = entry.dead_letter_id or entry.group_id or entry.operation_id or "-"
    change = f"{entry.from_status or '-'} > {entry.to_status}"
    why = "; ".join(filter(None, (entry.reason, entry.detail)))
    return [tables.seconds(entry.at), entry.event, change, about, entry.actor, why]
