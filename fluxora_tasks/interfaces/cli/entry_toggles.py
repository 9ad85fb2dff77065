"""Declarations of `toggles …`, also a plugin of ``celery`` [click]; see ``entry``."""

from __future__ import annotations

from typing import Any

import click

from fluxora_tasks.interfaces.cli.entry import EXIT_CODES, Command, Group, acting, json_option, run
from fluxora_tasks.interfaces.cli.lasting import lasting


@click.group(cls=Group, epilog=EXIT_CODES)
def toggles() -> None:
    """List, set and unset feature toggles, fallback modes and levels of degradation.

    NAME is a toggle (on, off, 25%), mode:OPERATION the use of a fallback (auto, always, off, 25%), level:NAME several
    of both at once, in force while the toggle of its name is on.
    """


@toggles.command("list", cls=Command, epilog=EXIT_CODES)
@json_option
@click.pass_context
def toggles_list(ctx: click.Context, as_json: bool) -> None:
    """List what is set."""
    run(ctx, "toggles:list_all", as_json=as_json)


@toggles.command("history", cls=Command, epilog=EXIT_CODES)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Changes.")
@json_option
@click.pass_context
def toggles_history(ctx: click.Context, limit: int, as_json: bool) -> None:
    """Tell what was set and unset, newest first."""
    run(ctx, "toggles:history", limit=limit, as_json=as_json)


@toggles.command("set", cls=Command, epilog=EXIT_CODES)
@click.argument("switch_id", metavar="NAME")
@click.argument("value")
@lasting()
@click.option("--sets", "members", multiple=True, metavar="ID=VALUE", help="Of a level: what it sets; may be repeated.")
@acting
@click.pass_context
def toggles_set(ctx: click.Context, /, switch_id: str, as_json: bool, **options: Any) -> None:
    """Set one, for a while.

    For example: toggles set new-tariff 25%, toggles set mode:shop.price always, toggles set level:brownout defined
    --sets toggle:recommendations=off.
    """
    run(ctx, "toggles:set_value", ids=(switch_id,), as_json=as_json, **options)


@toggles.command("unset", cls=Command, epilog=EXIT_CODES)
@click.argument("ids", nargs=-1, required=True, metavar="NAME...")
@acting
@click.pass_context
def toggles_unset(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Have it no more."""
    run(ctx, "toggles:unset", as_json=as_json, **options)
