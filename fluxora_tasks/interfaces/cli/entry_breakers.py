"""Declarations of `breakers …`, also a plugin of ``celery`` [click]; see ``entry``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fluxora_tasks.interfaces.cli.entry import EXIT_CODES, Command, Group, acting, json_option, paged, run
from fluxora_tasks.interfaces.cli.lasting import Duration, lasting

_F = TypeVar("_F", bound=Callable[..., Any])


def _on_circuits(function: _F) -> _F:
    """The arguments and options every action on circuits takes."""
    for decorate in (
        acting,
        click.option(
            "--expect-generation",
            "expected",
            type=click.IntRange(0),
            metavar="N",
            help="Only if the circuit still has this generation (see show); else code 6.",
        ),
        click.option("--all", "everything", is_flag=True, help="Every circuit."),
        click.option("--filter", "filter_text", metavar="TEXT", help='For example "name:weather-* state:OPEN".'),
        click.argument("names", nargs=-1, metavar="[NAME]..."),
    ):
        function = decorate(function)
    return function


@click.group(cls=Group, epilog=EXIT_CODES)
def breakers() -> None:
    """List and show circuits, and decide instead of them."""


@breakers.command("list", cls=Command, epilog=EXIT_CODES)
@click.option("--filter", "filter_text", metavar="TEXT", help='For example "name:weather-* state:OPEN".')
@paged
@click.pass_context
def breakers_list(ctx: click.Context, filter_text: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the circuits that were in use in the last thirty days."""
    run(ctx, "breakers:list_page", filter_text=filter_text or "", limit=limit, cursor=cursor, as_json=as_json)


@breakers.command("show", cls=Command, epilog=EXIT_CODES)
@click.argument("name")
@json_option
@click.pass_context
def breakers_show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one circuit: counts, probes, reporters, override, history."""
    run(ctx, "breakers:show", name=name, as_json=as_json)


@breakers.command("history", cls=Command, epilog=EXIT_CODES)
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Changes.")
@json_option
@click.pass_context
def breakers_history(ctx: click.Context, name: str, limit: int, as_json: bool) -> None:
    """Tell what a circuit went through, newest first."""
    run(ctx, "breakers:history", name=name, limit=limit, as_json=as_json)


@breakers.command("open", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@lasting()
@click.pass_context
def breakers_open(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Force circuits open: refuse every call, without probes."""
    run(ctx, "breakers:force", override="FORCED_OPEN", as_json=as_json, **options)


@breakers.command("close", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@lasting()
@click.pass_context
def breakers_close(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Force circuits closed: let every call pass, and keep counting."""
    run(ctx, "breakers:force", override="FORCED_CLOSED", as_json=as_json, **options)


@breakers.command("disable", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@lasting()
@click.pass_context
def breakers_disable(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Switch circuits off: let every call pass, and count nothing."""
    run(ctx, "breakers:force", override="DISABLED", as_json=as_json, **options)


@breakers.command("shadow", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@lasting()
@click.pass_context
def breakers_shadow(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Let every call pass, and see what the circuits would have done."""
    run(ctx, "breakers:force", override="METRICS_ONLY", as_json=as_json, **options)


@breakers.command("trip", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@click.option(
    "--for",
    "seconds",
    type=Duration(may_last=False),
    metavar="DURATION",
    help="30s, 5m, 1h; default: the first cooldown of its policy.",
)
@click.pass_context
def breakers_trip(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Open circuits as failures would: probes end it."""
    run(ctx, "breakers:trip", as_json=as_json, **options)


@breakers.command("release", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@click.option("--half-open", "soft", is_flag=True, help="Of a circuit that was forced open: begin with probes.")
@click.pass_context
def breakers_release(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Let circuits decide by themselves again."""
    run(ctx, "breakers:release", as_json=as_json, **options)


@breakers.command("reset", cls=Command, epilog=EXIT_CODES)
@_on_circuits
@click.pass_context
def breakers_reset(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Close circuits, with nothing counted and no override."""
    run(ctx, "breakers:reset", as_json=as_json, **options)
