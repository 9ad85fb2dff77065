"""`imports …`: what an operator types about parked messages, translated into operations and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.application import extension
from fluxora_tasks.interfaces.cli.listing import finish, print_page
from fluxora_tasks.interfaces.cli.output import age, time_text
from fluxora_tasks.interfaces.cli.recorder import closing_journal
from fluxora_tasks.ledger.reading import NoteReader
from fluxora_tasks.ledger.records import FailedImport
from fluxora_tasks.operations.context import open_ledger
from fluxora_tasks.operations.imports import Imports


def list_page(ctx: click.Context, *, limit: int, cursor: str | None, as_json: bool) -> None:
    """One page of parked messages."""
    page = open_operations(ctx).list(limit=limit, cursor=cursor)
    now = datetime.now(UTC)
    print_page(
        ctx,
        page,
        document=import_document,
        table=lambda _console: tables.plain(
            "NUMBER", "COUNT", "AGE", "BYTES", "TYPE", "ERROR", rows=[_row(item, now) for item in page.items]
        ),
        nothing="Everything became a record." if cursor is None else "No more.",
        as_json=as_json,
    )


def retry(ctx: click.Context, *, numbers: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Try again."""
    if bool(numbers) == everything:
        raise click.UsageError("name one or more numbers, or --all", ctx)
    finish(ctx, open_operations(ctx).retry(numbers), as_json=as_json, nothing="Everything became a record before.")


def open_operations(ctx: click.Context) -> Imports:
    """The operations on the parked messages of this app's ledger."""
    found = extension(ctx)
    return Imports(open_ledger(found.settings), NoteReader(found.grouping, found.redaction), closing_journal(found))


def import_document(item: FailedImport) -> dict[str, Any]:
    """One parked message; its keys are public."""
    return asdict(item) | {"at": time_text(item.at)}


def _row(item: FailedImport, now: datetime) -> tuple[str, ...]:
    kind = item.content_type or "-"
    return str(item.seq), str(item.seen), age(item.at, now), str(item.size), kind, item.error
