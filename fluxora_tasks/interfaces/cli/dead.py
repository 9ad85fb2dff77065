"""`dead list|show|replay|resolve|discard|restore|release`: what is typed, translated into operations and back."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from fluxora_tasks.clock import SystemClock
from fluxora_tasks.errors import RefusedError, UnknownDeadLetter
from fluxora_tasks.interfaces.cli import tables
from fluxora_tasks.interfaces.cli.acting import actor_of, check_choice, exit_code_of, no_color
from fluxora_tasks.interfaces.cli.application import application, extension
from fluxora_tasks.interfaces.cli.errors import ExitCode
from fluxora_tasks.interfaces.cli.listing import print_items, print_page
from fluxora_tasks.interfaces.cli.output import (
    document,
    print_document,
    print_fields,
    print_title,
    printable,
    time_text,
)
from fluxora_tasks.interfaces.cli.waiting import Waiting, outcomes
from fluxora_tasks.ledger.records import RunningReplay
from fluxora_tasks.operations.context import open_dead_letters
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.records import (
    ActionResult,
    Actor,
    DeadLetterDetail,
    DeadLetterSummary,
    HistoryEntry,
    Original,
)

#: Length of a whole id; anything shorter is taken for its beginning.
_WHOLE_ID = 36

#: Characters of arguments or traceback that `show` prints; --json has all of them.
_SHOWN = 10_000

_Action = Callable[[Sequence[str], Actor], Sequence[ActionResult]]


def list_page(ctx: click.Context, *, filter_text: str, limit: int, cursor: str | None, as_json: bool) -> None:
    """One page of dead letters."""
    page = open_operations(ctx).list(filter_text, limit=limit, cursor=cursor)
    print_page(
        ctx,
        page,
        document=summary_document,
        table=lambda console: tables.dead_letters(page.items, datetime.now(UTC), console.width),
        nothing="No dead letter matches." if filter_text or cursor else "No dead letters.",
        as_json=as_json,
        is_exact=page.total_is_exact,
    )


def export(ctx: click.Context, *, filter_text: str, as_json: bool) -> None:
    """Dead letters, one document a line."""
    del as_json  # it has no other form
    for detail in open_operations(ctx).export(filter_text):
        print_document(detail_document(detail))


def show(ctx: click.Context, *, dead_id: str, as_json: bool) -> None:
    """One dead letter, whole."""
    detail = open_operations(ctx).get(dead_id)
    if as_json:
        print_document(detail_document(detail))
        return
    print_fields(_fields(detail))
    _print_block("Arguments", _arguments_text(detail))
    _print_block("Traceback", detail.traceback.strip() or "none")
    print_title("History")
    console = tables.console(no_color=no_color(ctx))
    tables.print_table(console, tables.history(detail.history))


def replay(ctx: click.Context, *, wait: float | None, as_json: bool, **chosen: Any) -> None:
    """Send dead letters again; with ``wait``, see what becomes of them."""
    operations = open_operations(ctx)
    results = _act(ctx, operations, operations.replay, as_json=as_json, **chosen)
    if wait is not None:
        results = _await_outcomes(ctx, operations, results, wait, as_json=as_json)
    _finish(ctx, results, as_json=as_json, waited=wait is not None)


def resolve(ctx: click.Context, *, as_json: bool, **chosen: Any) -> None:
    """Mark dead letters as resolved."""
    operations = open_operations(ctx)
    _finish(ctx, _act(ctx, operations, operations.resolve, as_json=as_json, **chosen), as_json=as_json)


def discard(ctx: click.Context, *, as_json: bool, **chosen: Any) -> None:
    """Mark dead letters as not wanted."""
    operations = open_operations(ctx)
    _finish(ctx, _act(ctx, operations, operations.discard, as_json=as_json, **chosen), as_json=as_json)


def restore(ctx: click.Context, *, as_json: bool, **chosen: Any) -> None:
    """Take back what was discarded, or resolved by hand."""
    operations = open_operations(ctx)
    results = _act(ctx, operations, operations.restore, as_json=as_json, status="DISCARDED", **chosen)
    _finish(ctx, results, as_json=as_json)


def release(ctx: click.Context, *, as_json: bool, **chosen: Any) -> None:
    """Take dead letters out of quarantine."""
    operations = open_operations(ctx)
    results = _act(ctx, operations, operations.release, as_json=as_json, status="FAILED", **chosen)
    _finish(ctx, results, as_json=as_json)


def lost(ctx: click.Context, *, ids: tuple[str, ...], anyway: bool, as_json: bool, **said: Any) -> None:
    """Give up replays that nobody has heard of."""
    results = open_operations(ctx).declare_lost(ids, actor_of(ctx, as_json=as_json, **said), anyway=anyway)
    _finish(ctx, results, as_json=as_json)


def reveal(
    ctx: click.Context, *, dead_id: str, raw: bool, reason: str | None, actor: str | None, as_json: bool
) -> None:
    """The message of a dead letter as it was received."""
    if raw and sys.stdout.isatty():
        raise click.UsageError("--raw may hold anything, which a terminal would obey: send it to a file", ctx)
    original = open_operations(ctx).reveal(dead_id, actor_of(ctx, actor=actor, reason=reason, as_json=as_json))
    if raw:
        sys.stdout.buffer.write(original.body)
    elif as_json:
        print_document(original_document(original))
    else:
        _print_original(original)


def original_document(original: Original) -> dict[str, Any]:
    """A message as received; its keys are public. A body that is no text stands in base64."""
    return {
        "id": original.id,
        "content_type": original.content_type,
        "content_encoding": original.content_encoding,
        "headers": original.headers,
        "properties": original.properties,
        **_body_fields(original.body),
    }


def _body_fields(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode("utf-8"), "body_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode("ascii"), "body_encoding": "base64"}


def _print_original(original: Original) -> None:
    kind = original.content_type or "no content type"
    click.echo(f"{click.style('Id', bold=True)}  {original.id}, {len(original.body)} bytes, {printable(kind)}")
    for title, values in (("Headers", original.headers), ("Properties", original.properties)):
        print_title(title)
        click.echo("\n".join(f"{printable(name)}: {document(value)}" for name, value in values.items()) or "none")
    fields = _body_fields(original.body)
    _print_block("Body" if fields["body_encoding"] == "utf-8" else "Body, in base64", fields["body"])


def open_operations(ctx: click.Context) -> DeadLetters:
    """The operations on the ledger and the broker of this app."""
    found = extension(ctx)
    return open_dead_letters(found.settings, application(ctx).connection_for_write, found.store)


def summary_document(item: DeadLetterSummary) -> dict[str, Any]:
    """One row; its keys are public."""
    return asdict(item) | {
        "first_failed_at": time_text(item.first_failed_at),
        "last_failed_at": time_text(item.last_failed_at),
    }


def detail_document(detail: DeadLetterDetail) -> dict[str, Any]:
    """One record, whole; its keys are public."""
    return summary_document(detail.summary) | {
        "args": detail.args,
        "kwargs": detail.kwargs,
        "headers": detail.headers,
        "traceback": detail.traceback,
        "history": [_entry_document(entry) for entry in detail.history],
        "body_note": detail.body_note,
        "worker": detail.worker,
        "exchange": detail.exchange,
        "routing_key": detail.routing_key,
        "message_id": detail.message_id,
        "replay": _replay_document(detail.replay) if detail.replay else None,
        "possible_duplicates": list(detail.possible_duplicates),
    }


def _replay_document(replay: RunningReplay) -> dict[str, Any]:
    times = {name: time_text(value) for name, value in asdict(replay).items() if name.endswith("_at")}
    return asdict(replay) | times


def _act(
    ctx: click.Context,
    operations: DeadLetters,
    action: _Action,
    *,
    ids: tuple[str, ...],
    filter_text: str | None,
    everything: bool,
    reason: str | None,
    actor: str | None,
    as_json: bool,
    status: str = "PENDING",
) -> list[ActionResult]:
    """Choose the records, run the action on those that exist, keep the order given."""
    check_choice(ctx, ids, filter_text, everything)
    who = actor_of(ctx, actor=actor, reason=reason, as_json=as_json)
    if not ids:
        return list(action(operations.select(filter_text or "", status), who))
    resolved = [_resolve_id(operations, dead_id) for dead_id in dict.fromkeys(ids)]
    known = list(dict.fromkeys(item for item in resolved if isinstance(item, str)))
    refused = [item for item in resolved if isinstance(item, ActionResult)]
    return [*(action(known, who) if known else ()), *refused]


def _resolve_id(operations: DeadLetters, given: str) -> str | ActionResult:
    """The whole id a beginning stands for, or why it stands for none."""
    if len(given) >= _WHOLE_ID:
        return given
    try:
        return operations.get(given).summary.id
    except UnknownDeadLetter as exc:
        return ActionResult(given, "unknown", None, str(exc))
    except RefusedError as exc:
        return ActionResult(given, "refused", None, str(exc))


def _await_outcomes(
    ctx: click.Context,
    operations: DeadLetters,
    results: Sequence[ActionResult],
    wait: float,
    *,
    as_json: bool,
) -> list[ActionResult]:
    """The results with what became of each replay; prints each one as it is known."""
    sent = [result.id for result in results if result.outcome == "done"]
    known: dict[str, DeadLetterSummary] = {}
    with tables.live_line(no_color=no_color(ctx), silent=as_json) as tell:
        for summary in outcomes(operations, sent, Waiting(wait, SystemClock(), time.sleep)):
            if summary is not None:
                known[summary.id] = summary
                tell.line(*_outcome_line(summary))
            tell.state(f"{len(sent) - len(known)} of {len(sent)} replays have no outcome yet")
    return [_with_outcome(result, known, wait) for result in results]


def _outcome_line(summary: DeadLetterSummary) -> list[str | Text]:
    why = [] if summary.status == "RESOLVED" else [tables.error_line(summary)]
    return [summary.id[: tables.SHORT_ID], tables.status(summary.status), summary.task, *why]


def _with_outcome(result: ActionResult, known: dict[str, DeadLetterSummary], wait: float) -> ActionResult:
    if result.outcome != "done":
        return result
    summary = known.get(result.id)
    if summary is None:
        return replace(result, detail=f"no outcome after {wait:g} s")
    if summary.status == "RESOLVED":
        return replace(result, status="RESOLVED", detail="the replay succeeded")
    return replace(result, status=summary.status, detail=f"failed again: {tables.error_line(summary)}")


def _finish(ctx: click.Context, results: Sequence[ActionResult], *, as_json: bool, waited: bool = False) -> None:
    """Print the results and leave with their code."""
    if as_json:
        print_items([asdict(result) for result in results])
    else:
        _print_results(ctx, results, waited)
    code = exit_code_of(result.outcome for result in results)
    if code is ExitCode.OK and waited and any(result.status != "RESOLVED" for result in results):
        code = ExitCode.PARTIAL
    ctx.exit(code)


def _print_results(ctx: click.Context, results: Sequence[ActionResult], waited: bool) -> None:
    if not results:
        click.echo("No dead letter matches; nothing was done.")
        return
    shown = [result for result in results if not (waited and result.outcome == "done" and result.status != "RETRYING")]
    if shown:
        tables.print_table(tables.console(no_color=no_color(ctx)), tables.results(shown))
    done = sum(result.outcome == "done" for result in results)
    click.echo(f"{done} of {len(results)} done" + (_outcome_counts(results) if waited else ""))


def _outcome_counts(results: Sequence[ActionResult]) -> str:
    resolved = sum(result.status == "RESOLVED" for result in results if result.outcome == "done")
    running = sum(result.status == "RETRYING" for result in results if result.outcome == "done")
    done = sum(result.outcome == "done" for result in results)
    return f": {resolved} resolved, {done - resolved - running} failed again, {running} without an outcome"


def _entry_document(entry: HistoryEntry) -> dict[str, Any]:
    return asdict(entry) | {"at": time_text(entry.at)}


def _fields(detail: DeadLetterDetail) -> list[tuple[str, str]]:
    return [*_usual_fields(detail), *_rare_fields(detail)]


def _rare_fields(detail: DeadLetterDetail) -> Iterator[tuple[str, str]]:
    if detail.replay is not None:
        yield "Replay", _replay_line(detail.replay)
    if detail.possible_duplicates:
        ids = ", ".join(one[: tables.SHORT_ID] for one in detail.possible_duplicates)
        yield "Perhaps", f"the same message as {ids}: it has no id of its own"


def _replay_line(replay: RunningReplay) -> str:
    """How far a replay got, for a person."""
    parts = [f"no. {replay.replay_no} by {replay.actor}"]
    parts += [f"of operation {replay.operation_id[: tables.SHORT_ID]}"] if replay.operation_id else []
    parts.append(f"sent {tables.seconds(replay.issued_at)}" if replay.issued_at else "still to be sent")
    parts += [f"goes on, next attempt {tables.seconds(replay.due_at)}"] if replay.due_at else []
    unheard = replay.unconfirmed_at
    parts += [f"unconfirmed since {tables.seconds(unheard)}; see: dead lost --help"] if unheard else []
    return ", ".join(parts)


def _usual_fields(detail: DeadLetterDetail) -> list[tuple[str, str]]:
    item = detail.summary
    return [
        ("Id", item.id),
        ("Status", item.status),
        ("Task", f"{item.task or '-'} ({item.task_id or 'no id'})"),
        ("Error", f"{item.exception_type or item.kind}: {item.message}"),
        ("Kind", item.kind),
        ("Queue", item.queue),
        ("Attempts", str(item.attempts)),
        ("Replays", str(item.replays)),
        ("Failed", tables.first_and_last(item)),
        ("Worker", detail.worker or "-"),
        (
            "Message",
            f"{detail.message_id or '-'}, {item.size} bytes, {detail.content_type or 'no content type'}",
        ),
    ]


def _print_block(title: str, text: str) -> None:
    print_title(title)
    click.echo(printable(text[:_SHOWN]))
    if len(text) > _SHOWN:
        click.echo(f"… {len(text) - _SHOWN} more characters; --json shows all")


def _arguments_text(detail: DeadLetterDetail) -> str:
    if detail.args is None and detail.kwargs is None:
        return detail.body_note or "not shown"
    lines = [document(value) for value in detail.args or ()]
    lines += [
        f"{json.dumps(name, ensure_ascii=False)[1:-1]} = {document(value)}"
        for name, value in (detail.kwargs or {}).items()
    ]
    return "\n".join(lines) or "none"
