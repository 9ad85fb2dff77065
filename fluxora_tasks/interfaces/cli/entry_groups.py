"""Declarations of `groups …`, also a plugin of ``celery`` [click]; see ``entry``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fluxora_tasks.interfaces.cli.entry import EXIT_CODES, Command, Group, acting, json_option, paged, run
from fluxora_tasks.interfaces.cli.entry_operations import pacing, starting


@click.group(cls=Group, epilog=EXIT_CODES)
def groups() -> None:
    """List and show groups of like failures, and say where they stand.

    A dead letter belongs to the group of its newest failure. What is said of a group changes none of its dead
    letters, and hides none.
    """


@groups.command("list", cls=Command, epilog=EXIT_CODES)
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    help="open, acknowledged, ignored, resolved or regressed; may be repeated.",
)
@paged
@click.pass_context
def groups_list(ctx: click.Context, states: tuple[str, ...], limit: int, cursor: str | None, as_json: bool) -> None:
    """List groups, newest failure first."""
    run(ctx, "groups:list_page", states=states, limit=limit, cursor=cursor, as_json=as_json)


@groups.command("show", cls=Command, epilog=EXIT_CODES)
@click.argument("group_id", metavar="ID")
@json_option
@click.pass_context
def groups_show(ctx: click.Context, group_id: str, as_json: bool) -> None:
    """Show one group: what it counts, and why these failures are alike.

    ID may be the first characters of an id, four or more.
    """
    run(ctx, "groups:show", group_id=group_id, as_json=as_json)


def _saying(name: str, state: str, text: str) -> None:
    """One command that says where groups stand."""

    def command(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
        run(ctx, "groups:set_state", state=state, as_json=as_json, **options)

    command.__doc__ = text
    declared: Callable[..., Any] = acting(click.pass_context(command))
    declared = click.argument("ids", nargs=-1, required=True, metavar="ID...")(declared)
    groups.command(name, cls=Command, epilog=EXIT_CODES)(declared)


_saying("acknowledge", "acknowledged", "Say that somebody is at work on groups.")
_saying("ignore", "ignored", "Say that groups need nobody's care; they go on counting.")
_saying("resolve", "resolved", "Say that the cause is mended; a later failure is a regression.")
_saying("reopen", "open", "Take it back.")


@groups.command("merge", cls=Command, epilog=EXIT_CODES)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--into", required=True, metavar="GROUP", help="The group that they are one with.")
@acting
@click.pass_context
def groups_merge(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Say that groups are one: they show and count under one id, and filters for any of their ids find them all.

    Their dead letters keep what was compared, so that it can be taken back.
    """
    run(ctx, "groups:merge", as_json=as_json, **options)


@groups.command("unmerge", cls=Command, epilog=EXIT_CODES)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@acting
@click.pass_context
def groups_unmerge(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Make merged groups groups of their own again."""
    run(ctx, "groups:unmerge", as_json=as_json, **options)


@groups.command("replay", cls=Command, epilog=EXIT_CODES)
@click.argument("group_id", metavar="GROUP")
@pacing
@starting
@click.pass_context
def groups_replay(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Replay the PENDING dead letters of a group, at a pace.

    Short for: operations run replay --filter group:GROUP
    """
    run(ctx, "operations:carry_out_group", kind="replay", as_json=as_json, **options)


@groups.command("discard", cls=Command, epilog=EXIT_CODES)
@click.argument("group_id", metavar="GROUP")
@starting
@click.pass_context
def groups_discard(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Discard the PENDING dead letters of a group.

    Short for: operations run discard --filter group:GROUP
    """
    run(ctx, "operations:carry_out_group", kind="discard", as_json=as_json, **options)
