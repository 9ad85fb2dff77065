"""Pages of everything that is not found by a filter of records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine

from benchmarks.ledger.filling import NEWEST, OPERATION, OPERATIONS
from benchmarks.ledger.timing import PageTiming, milliseconds
from fluxora_tasks.bulk.operation import Kind, Pace, Selector
from fluxora_tasks.bulk.store import Operations
from fluxora_tasks.ledger.auditing import TrailQuery
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor


def timings(engine: Engine, ledger: Ledger) -> Iterator[PageTiming]:
    """Groups, one record, the audit, operations; and the plan of an operation, which is no page."""
    yield _groups(ledger, "groups", ())
    yield _groups(ledger, "groups of some states", ("open", "acknowledged", "regressed"))
    yield _groups(ledger, "groups of one state", ("acknowledged",))
    dead_id = ledger.find(parse("status:RESOLVED"), limit=1).letters[0].id
    story = milliseconds(lambda: ledger.story(dead_id))
    yield PageTiming("one record, whole", f"show {dead_id[:8]}", story, None, None, "1")
    counts = milliseconds(ledger.status_counts)
    yield PageTiming("records by status", "stats", counts, None, None, "5")
    half = NEWEST - (NEWEST - ledger.trail_onwards(TrailQuery(), limit=1)[0].at) / 2
    yield _trail(ledger, "audit, everything", TrailQuery())
    yield _trail(ledger, "audit of a record", TrailQuery(about=dead_id))
    yield _trail(ledger, "audit of a group", TrailQuery(about="g0000"))
    yield _trail(ledger, "audit of an operation", TrailQuery(about=OPERATION))
    yield _trail(ledger, "audit of a person", TrailQuery(actor="anna"))
    yield _trail(ledger, "audit of a rare event", TrailQuery(event="retrying"))
    yield _trail(ledger, "audit of nobody", TrailQuery(actor="nobody"))
    yield _trail(ledger, "audit of what never was", TrailQuery(event="restored"))
    yield _trail(ledger, "audit of nobody, by time", TrailQuery(actor="nobody", until=half))
    yield _trail(ledger, "audit of a record, by time", TrailQuery(about=dead_id, until=half))
    yield _trail(ledger, "audit, first half", TrailQuery(until=half))
    yield _trail(ledger, "audit, last hour", TrailQuery(since=NEWEST - timedelta(hours=1)))
    yield from _operations(Operations(engine))


def plans(engine: Engine) -> Iterator[PageTiming]:
    """What it takes to plan an operation, with its counts."""
    operations, by = Operations(engine), Actor("bench", "measured")
    for wanted in ("status:PENDING", "group:g0000", "group:g0199 status:PENDING", "text:refused"):
        plan = partial(operations.plan, Kind.REPLAY, Selector(filter=wanted), Pace(), by)
        planned, took = plan(), milliseconds(plan)
        yield PageTiming("plan of a replay", wanted, took, None, None, f"{planned.planned:,}")


def _groups(ledger: Ledger, name: str, states: tuple[str, ...]) -> PageTiming:
    page = ledger.groups(states)
    deep = page.next
    for _ in range(10):
        deep = ledger.groups(states, cursor=deep).next or deep
    return PageTiming(
        name,
        f"state {', '.join(states) or 'any'}",
        first=milliseconds(lambda: ledger.groups(states)),
        deep=None if deep is None else milliseconds(lambda: ledger.groups(states, cursor=deep)),
        total=None,
        found=f"{page.total:,}",
    )


def _trail(ledger: Ledger, name: str, query: TrailQuery) -> PageTiming:
    first = ledger.trail(query)
    before = first[-1].seq // 2 if first else 1
    return PageTiming(
        name,
        ", ".join(f"{part} {str(getattr(query, part))[:10]}" for part in query.__slots__ if getattr(query, part)),
        first=milliseconds(lambda: ledger.trail(query)),
        deep=milliseconds(lambda: ledger.trail(query, before=before)),
        total=None,
        found=f"{len(first)}{'+' if len(first) == 50 else ''}",
    )


def _operations(operations: Operations) -> Iterator[PageTiming]:
    page, total, cursor = operations.list()
    for _ in range(OPERATIONS // 100):
        cursor = operations.list(cursor=cursor)[2] or cursor
    first = milliseconds(operations.list)
    deep = milliseconds(lambda: operations.list(cursor=cursor))
    yield PageTiming("operations", f"newest {page[0].id}", first, deep, None, f"{total:,}")
    for outcome in (None, "failed_again"):
        ask = partial(operations.items, OPERATION, outcome=outcome)
        _, total, _ = ask()
        first, deep = milliseconds(ask), milliseconds(partial(ask, after=total // 2))
        yield PageTiming("items of an operation", outcome or "all", first, deep, None, f"{total:,}")
    counts = milliseconds(lambda: operations.outcomes(OPERATION))
    yield PageTiming("outcomes of an operation", OPERATION, counts, None, None, "2")
