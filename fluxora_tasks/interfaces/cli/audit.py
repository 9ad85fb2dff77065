"""`audit`: every message sent, counted, and the lost ones named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.application import application, extension
from fluxora_tasks.interfaces.cli.errors import ExitCode
from fluxora_tasks.interfaces.cli.output import print_document
from fluxora_tasks.journal import OpenEntry
from fluxora_tasks.ledger.database import open_engine, require_schema
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.audit import AuditReport, run_audit
from fluxora_tasks.settings import Settings

#: Messages that the table names; --json names all.
_NAMED = 20


def audit(ctx: click.Context, *, as_json: bool) -> None:
    """Count, print, and leave with 0 only if nothing is lost."""
    found = extension(ctx)
    ledger = open_existing_ledger(found.settings)
    report = run_audit(application(ctx), found.journal, ledger, found.settings.dead_letter_queue)
    if as_json:
        print_document(report_document(report))
    else:
        _print_report(ctx, report)
    ctx.exit(ExitCode.PARTIAL if report.lost or report.absent else ExitCode.OK)


def open_existing_ledger(settings: Settings) -> Ledger:
    """The ledger as the recorder keeps it; nothing is created."""
    engine = open_engine(settings.effective_ledger_url)
    require_schema(engine)
    return Ledger(engine)


def report_document(report: AuditReport) -> dict[str, Any]:
    """The report; its keys are public. ``lost`` is a number, ``lost_messages`` are their names."""
    return {
        "sent": report.sent,
        "succeeded": report.succeeded,
        "ignored": report.ignored,
        "unsent": report.unsent,
        "recorded": dict(report.recorded),
        "absent": report.absent,
        "in_flight": report.in_flight,
        "lost": len(report.lost),
        "undecided": len(report.undecided),
        "retried": report.retried,
        "gaps": report.gaps,
        "duplicates_dropped": report.duplicates_dropped,
        "lost_messages": [_entry_document(entry) for entry in report.lost],
        "undecided_messages": [_entry_document(entry) for entry in report.undecided],
    }


def _entry_document(entry: OpenEntry) -> dict[str, Any]:
    return {"message_id": entry.message_id, "task": entry.task, "age": entry.age}


def _print_report(ctx: click.Context, report: AuditReport) -> None:
    target = tables.console(no_color=bool(getattr(ctx.obj, "no_color", False)))
    rows = [(name, str(count)) for name, count in _lines(report)]
    tables.print_table(target, tables.plain("MESSAGES", "COUNT", rows=rows))
    for title, entries in (("Lost", report.lost), ("Cannot be told", report.undecided)):
        if entries:
            click.echo()
            click.secho(title, bold=True)
            tables.print_table(target, _named(entries))
            if len(entries) > _NAMED:
                click.echo(f"… {len(entries) - _NAMED} more; --json names all")
    if report.absent:
        click.echo(
            "\nSome were recorded, but not in this ledger, or not any more: is FLUXORA_LEDGER_URL"
            " the recorder's, and is FLUXORA_REDIS_URL this system's alone?"
        )
    if report.undecided:
        click.echo("\nThis broker shows nobody the messages in its queues; audit again when they are empty.")
    if report.gaps:
        click.echo(f"\nRedis was away for {report.gaps} sends: this report cannot speak for them.")


def _lines(report: AuditReport) -> Iterator[tuple[str, int]]:
    yield "sent", report.sent
    yield "succeeded", report.succeeded
    if report.ignored:
        yield "ignored by the task's own word", report.ignored
    if report.unsent:
        yield "refused at the sender", report.unsent
    for status, count in sorted(report.recorded.items()):
        yield f"in the ledger, {status}", count
    if report.absent:
        yield "recorded, but not in this ledger", report.absent
    yield "waiting or running", report.in_flight
    if report.undecided:
        yield "cannot be told", len(report.undecided)
    yield "lost", len(report.lost)
    yield "(retries on the way)", report.retried
    if report.duplicates_dropped:
        yield "(second copies of replays dropped)", report.duplicates_dropped


def _named(entries: Sequence[OpenEntry]) -> Any:
    rows = [(entry.message_id, entry.task, f"{entry.age:.0f} s ago") for entry in entries[:_NAMED]]
    return tables.plain("MESSAGE", "TASK", "SENT", rows=rows)
