"""Declarations of `operations …`, also a plugin of ``celery`` [click]; see ``entry``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fluxora_tasks.interfaces.cli.entry import EXIT_CODES, Command, Group, acting, json_option, paged, run

_F = TypeVar("_F", bound=Callable[..., Any])

_KINDS = ("replay", "discard", "restore", "resolve")
_OUTCOMES = (
    "pending", "issued", "done", "succeeded", "failed_again", "skipped", "publish_failed", "unconfirmed",
)  # fmt: skip

_rate = click.FloatRange(0, min_open=True)


def pacing(function: _F) -> _F:
    """How fast a replay goes, and when it stops by itself."""
    for decorate in (
        click.option(
            "--stop-ratio",
            type=click.FloatRange(0, 1),
            metavar="SHARE",
            help="Share of failures above which it aborts; default: 0.2.",
        ),
        click.option("--no-ramp", is_flag=True, help="Keep to --rate; else it doubles while all goes well."),
        click.option(
            "--canary",
            type=click.IntRange(0),
            metavar="N",
            help="Messages whose outcomes are awaited first; default: 1 %, from 10 to 100.",
        ),
        click.option(
            "--max-in-flight", type=click.IntRange(1), metavar="N", help="Messages without an outcome; default: 100."
        ),
        click.option("--max-rate", type=_rate, metavar="N", help="Up to which it doubles; default: ten times --rate."),
        click.option("--rate", type=_rate, metavar="N", help="Messages per second to begin with; default: 10."),
    ):
        function = decorate(function)
    return function


def starting(function: _F) -> _F:
    """What an operation that starts at once takes beside its records."""
    for decorate in (
        acting,
        click.option("--watch", "watches", is_flag=True, help="Show its progress until it has ended."),
        click.option("--yes", is_flag=True, help="Do not ask; required where nobody can be asked."),
    ):
        function = decorate(function)
    return function


def _acting(reason: str) -> Callable[[_F], _F]:
    """Who does it, where a reason is not always needed."""

    def decorated(function: _F) -> _F:
        for decorate in (
            json_option,
            click.option(
                "--actor", envvar="FLUXORA_ACTOR", metavar="NAME", help="Who does it; default: the login name."
            ),
            click.option("--reason", metavar="TEXT", help=reason),
        ):
            function = decorate(function)
        return function

    return decorated


def _choosing(function: _F) -> _F:
    """What is done, and to which dead letters."""
    for decorate in (
        click.option("--all", "everything", is_flag=True, help="Every one that this can be done to."),
        click.option("--failed-of", metavar="OPERATION", help="Those that failed again in another operation."),
        click.option(
            "--filter",
            "filter_text",
            default=None,
            metavar="TEXT",
            help='For example "task:orders.* age:>1h".',
        ),
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        click.argument("kind", type=click.Choice(_KINDS)),
    ):
        function = decorate(function)
    return function


@click.group(cls=Group, epilog=EXIT_CODES)
def operations() -> None:
    """Replay, discard, restore or resolve many dead letters, at a pace.

    A plan says what it would take and is started within 15 minutes; a recorder carries it out. A replay begins
    with a few messages, goes on faster while they succeed, waits while a circuit is open, and aborts where the
    cause is not mended.
    """


@operations.command("plan", cls=Command, epilog=EXIT_CODES)
@_choosing
@pacing
@_acting("Why; kept for the start, which needs one.")
@click.pass_context
def operations_plan(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Count what an operation would take; nothing is changed."""
    run(ctx, "operations:plan", as_json=as_json, **options)


@operations.command("start", cls=Command, epilog=EXIT_CODES)
@click.argument("operation_id", metavar="ID")
@click.option("--watch", "watches", is_flag=True, help="Show its progress until it has ended.")
@_acting("Why; kept in the audit. Default: that of the plan.")
@click.pass_context
def operations_start(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Let a plan run.

    Code 4 if the plan is too old; 6 if it is no plan any more, or has become another one since. With --watch as
    of watch.
    """
    run(ctx, "operations:start", as_json=as_json, **options)


@operations.command("run", cls=Command, epilog=EXIT_CODES)
@_choosing
@pacing
@starting
@click.pass_context
def operations_run(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Plan and start in one; on a terminal it asks in between."""
    run(ctx, "operations:carry_out", as_json=as_json, **options)


@operations.command("watch", cls=Command, epilog=EXIT_CODES)
@click.argument("operation_id", metavar="ID")
@json_option
@click.pass_context
def operations_watch(ctx: click.Context, operation_id: str, as_json: bool) -> None:
    """Show the progress of an operation until it has ended.

    Code 0 if every record succeeded, 3 if not, 5 if it was aborted or cancelled. Ctrl-C leaves it running. In a
    pipe: one line per change.
    """
    run(ctx, "operations:watch", operation_id=operation_id, as_json=as_json)


def _changing(name: str, text: str) -> None:
    """One command that changes where an operation stands."""

    def command(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
        run(ctx, "operations:change", change=name, as_json=as_json, **options)

    command.__doc__ = text
    declared: Callable[..., Any] = acting(click.pass_context(command))
    declared = click.argument("operation_id", metavar="ID")(declared)
    operations.command(name, cls=Command, epilog=EXIT_CODES)(declared)


_changing("pause", "Send nothing more until it is resumed.")
_changing("resume", "Let it go on.")
_changing("cancel", "Send nothing more, for good; the outcomes of what was sent are awaited.")


@operations.command("list", cls=Command, epilog=EXIT_CODES)
@paged
@click.pass_context
def operations_list(ctx: click.Context, limit: int, cursor: str | None, as_json: bool) -> None:
    """List operations, the newest plan first."""
    run(ctx, "operations:list_page", limit=limit, cursor=cursor, as_json=as_json)


@operations.command("show", cls=Command, epilog=EXIT_CODES)
@click.argument("operation_id", metavar="ID")
@json_option
@click.pass_context
def operations_show(ctx: click.Context, operation_id: str, as_json: bool) -> None:
    """Show one operation: plan, pace, where it stands, outcomes.

    ID may be the first characters of an id, four or more.
    """
    run(ctx, "operations:show", operation_id=operation_id, as_json=as_json)


@operations.command("items", cls=Command, epilog=EXIT_CODES)
@click.argument("operation_id", metavar="ID")
@click.option("--outcome", type=click.Choice(_OUTCOMES), metavar="NAME", help=f"Only those: {', '.join(_OUTCOMES)}.")
@paged
@click.pass_context
def operations_items(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """List the records of an operation and what became of each."""
    run(ctx, "operations:list_items", as_json=as_json, **options)
