"""Bulk operations as documents and as text for people (pure, but for rich's tables)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from rich.table import Table

from fluxora_tasks.bulk.operation import Item, Kind, Operation, Pace, Plan, State
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.output import age, one_line, time_text
from fluxora_tasks.operations.bulk import OutcomeCount

NO_RECORDER: Final = "No recorder is running: nobody carries it out. Start: celery -A APP recorder"

_TIMES: Final = ("planned_at", "expires_at", "cutoff_at", "started_at", "state_at", "ended_at")
_NUMBERS: Final = ("planned", "total", "issued", "known", "succeeded", "failed", "skipped", "unconfirmed", "in_flight")
_TEXTS: Final = ("id", "kind", "state", "reason", "actor", "source", "hold", "held_by", "detail")

#: What the names of a plan are counted by.
_SORTS: Final = {"tasks": "task", "groups": "group", "queues": "queue", "kinds": "kind", "statuses": "status"}


def operation_document(operation: Operation) -> dict[str, Any]:
    """One operation; its keys are public. ``named``: how many ids it was given."""
    return {
        **{name: str(getattr(operation, name)) for name in _TEXTS},
        "filter": operation.selector.filter,
        "all": operation.selector.all,
        "named": len(operation.selector.ids),
        **{name: time_text(getattr(operation, name)) for name in _TIMES},
        **{name: getattr(operation, name) for name in _NUMBERS},
        "rate": rate_of(operation),
        "is_canary": operation.progress.is_canary,
        "pace": asdict(operation.pace),
        "plan": asdict(operation.plan),
    }


def whole_document(operation: Operation, outcomes: Sequence[OutcomeCount], executor: str | None) -> dict[str, Any]:
    """One operation, whole; its keys are public. ``executor``: who carries operations out now."""
    return operation_document(operation) | {
        "ids": list(operation.selector.ids),
        "outcomes": [asdict(count) for count in outcomes],
        "executor": executor,
    }


def item_document(item: Item) -> dict[str, Any]:
    """One record of an operation; its keys are public."""
    return asdict(item) | {"changed_at": time_text(item.changed_at)}


def plan_fields(operation: Operation) -> Iterator[tuple[str, str]]:
    """What a plan says, but for its counts by name."""
    plan = operation.plan
    yield "Plan", f"{operation.id}: {operation.kind} {selection_text(operation)}"
    yield "Records", _records_text(plan)
    if plan.left_out:
        yield "Left out", ", ".join(f"{count.records} {count.name}" for count in plan.left_out)
    if operation.kind is Kind.REPLAY:
        yield "Pace", pace_text(operation.pace, plan.total)
        yield "Time", f"{span(plan.seconds)} at best"
    for warning in plan.warnings:
        yield "Warning", warning


def plan_counts(plan: Plan) -> Table | None:
    """Records by task, group, queue, kind and status; ``None``: there are none."""
    rows = [
        (label, count.name or "-", str(count.records))
        for sort, label in _SORTS.items()
        for count in getattr(plan, sort)
    ]
    return tables.plain("BY", "NAME", "RECORDS", rows=rows) if rows else None


def operation_fields(operation: Operation, executor: str | None) -> Iterator[tuple[str, str]]:
    """Where an operation stands."""
    yield "Id", operation.id
    yield "Records", f"{operation.kind} {selection_text(operation)}, failed until {_seconds(operation.cutoff_at)} UTC"
    yield "State", f"{operation.state} since {_seconds(operation.state_at)} UTC{why_text(operation)}"
    yield "By", f"{operation.actor} ({operation.source}): {operation.reason or 'no reason yet'}"
    if operation.kind is Kind.REPLAY:
        yield "Pace", pace_text(operation.pace, max(operation.total, operation.planned))
        yield "Rate", f"{rate_of(operation):g} a second" + (", canary" if operation.progress.is_canary else "")
    yield "Issued", f"{operation.issued} of {records_of(operation)}, {operation.in_flight} without an outcome"
    yield "Known", f"{operation.known} of {records_of(operation)}: {outcome_text(operation)}"
    if operation.state is not State.PLANNED and not operation.is_over:
        yield "Recorder", executor or NO_RECORDER


def outcome_table(outcomes: Sequence[OutcomeCount]) -> Table:
    """Records by outcome."""
    return tables.plain(
        "OUTCOME", "WHY", "RECORDS", rows=[(one.outcome, one.why or "-", str(one.records)) for one in outcomes]
    )


def operation_table(items: Sequence[Operation], now: datetime) -> Table:
    """Operations, one a line."""
    rows = [
        (
            item.id[: tables.SHORT_ID],
            item.state.value,
            item.kind.value,
            str(records_of(item)),
            str(item.known),
            str(item.failed),
            age(item.planned_at, now),
            f"{item.hold or item.detail or selection_text(item)} ({item.actor}: {item.reason or '-'})",
        )
        for item in items
    ]
    return tables.plain("ID", "STATE", "KIND", "RECORDS", "KNOWN", "FAILED", "AGE", "DETAIL", rows=rows)


def item_table(items: Sequence[Item]) -> Table:
    """Records of an operation, one a line."""
    rows = [
        (str(item.seq), item.dead_letter_id[: tables.SHORT_ID], item.outcome, item.why or "-", item.detail or "-")
        for item in items
    ]
    return tables.plain("NUMBER", "ID", "OUTCOME", "WHY", "DETAIL", rows=rows)


def end_lines(operation: Operation) -> Iterator[str]:
    """How it ended, why, and what to do about it."""
    short = operation.id[: tables.SHORT_ID]
    yield f"{short} {operation.state}: {operation.known} of {records_of(operation)} known, {outcome_text(operation)}"
    if operation.detail:
        yield operation.detail
    if operation.failed:
        yield f"Which failed: fluxora operations items {short} --outcome failed_again"
        yield f"Once mended: fluxora operations run replay --failed-of {short}"


def change_line(operation: Operation, executor: str | None) -> str:
    """Where it stands, in one line of a pipe."""
    total = records_of(operation)
    counts = f"issued {operation.issued}/{total}  known {operation.known}/{total}  failed {operation.failed}"
    return f"{operation.state}  {counts}  {state_line(operation, executor)}".rstrip()


def state_line(operation: Operation, executor: str | None) -> str:
    """What stands below the bars: how fast it goes, or why it does not."""
    if operation.is_over:
        return ""
    if executor is None:
        return NO_RECORDER
    if operation.hold or operation.detail:
        return one_line(operation.hold or operation.detail)
    if operation.kind is not Kind.REPLAY or operation.state is not State.RUNNING:
        return ""
    return f"{'canary, ' if operation.progress.is_canary else ''}{rate_of(operation):g} a second"


def why_text(operation: Operation) -> str:
    """Why it is paused or was aborted, behind its state."""
    if operation.hold or operation.held_by:
        return f" by the {operation.held_by}: {operation.hold or 'no reason given'}"
    return f" ({operation.detail})" if operation.detail else ""


def outcome_text(operation: Operation) -> str:
    """What became of its records, in numbers."""
    counts = [
        (operation.succeeded, "succeeded"),
        (operation.failed, "failed"),
        (operation.skipped, "skipped"),
        (operation.unconfirmed, "unconfirmed"),
    ]
    return ", ".join(f"{number} {name}" for number, name in counts if number or name == "succeeded")


def selection_text(operation: Operation) -> str:
    """Which records it takes, as it was said."""
    selector = operation.selector
    if selector.ids:
        return f"{len(selector.ids)} named"
    return "all" if selector.all else selector.filter


def pace_text(pace: Pace, records: int) -> str:
    """How fast it goes."""
    canary = pace.canary_of(records)
    ramp = f", doubling up to {pace.ceiling:g}" if pace.ceiling > pace.rate else ""
    first = f"{canary} first, then " if canary else ""
    return f"{first}{pace.rate:g} a second{ramp}, {pace.max_in_flight} at once without an outcome"


def records_of(operation: Operation) -> int:
    """Records it takes: those listed, or planned while they are being listed."""
    return operation.total if operation.listed_all else max(operation.total, operation.planned)


def rate_of(operation: Operation) -> float:
    """Messages per second at present."""
    return operation.progress.rate or operation.pace.rate


def span(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size_text(size: int) -> str:
    """A number of bytes as people say it."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _records_text(plan: Plan) -> str:
    if not plan.total:
        return "none"
    oldest, newest = (
        _seconds(datetime.fromisoformat(moment)) if moment else "-" for moment in (plan.oldest, plan.newest)
    )
    return f"{plan.total}, {size_text(plan.size)}, failed from {oldest} to {newest} UTC"


def _seconds(moment: datetime) -> str:
    return tables.seconds(moment)
