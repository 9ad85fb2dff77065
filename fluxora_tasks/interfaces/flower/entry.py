"""Entry point of ``celery.commands``: loaded by every ``celery`` process, so it holds next to nothing.

Loading it is what puts our pages behind the plain ``flower`` command.
"""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand

from fluxora_tasks.interfaces.flower import plugin

_in_place = plugin.put_in_place()


@click.command(
    "fluxora-flower",
    cls=CeleryCommand,
    hidden=True,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("tornado_argv", nargs=-1, type=click.UNPROCESSED)
def fluxora_flower(tornado_argv: tuple[str, ...]) -> None:
    """Flower with the dead-letter pages, or one line why there are none."""
    if not _in_place:
        raise click.ClickException(plugin.why_not())
    plugin.run(tornado_argv)
