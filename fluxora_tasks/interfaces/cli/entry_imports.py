"""Declarations of `imports …`, also a plugin of ``celery`` [click]; see ``entry``."""

from __future__ import annotations

import click

from fluxora_tasks.interfaces.cli.entry import EXIT_CODES, Command, Group, json_option, paged, run


@click.group(cls=Group, epilog=EXIT_CODES)
def imports() -> None:
    """List messages of the dead-letter queue that could not become records, and try again.

    They are kept with their bytes. One that a newer release can read becomes a record when it is tried again; recorders
    may be running.
    """


@imports.command("list", cls=Command, epilog=EXIT_CODES)
@paged
@json_option
@click.pass_context
def imports_list(ctx: click.Context, limit: int, cursor: str | None, as_json: bool) -> None:
    """List them, oldest first."""
    run(ctx, "imports:list_page", limit=limit, cursor=cursor, as_json=as_json)


@imports.command("retry", cls=Command, epilog=EXIT_CODES)
@click.argument("numbers", nargs=-1, metavar="[NUMBER]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
@click.pass_context
def imports_retry(ctx: click.Context, numbers: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Try to make records of them."""
    run(ctx, "imports:retry", numbers=numbers, everything=everything, as_json=as_json)
