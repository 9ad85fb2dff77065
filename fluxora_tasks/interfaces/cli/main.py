"""`fluxora`: the operator's commands, and the ones that start everything at a desk [click]."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from fluxora_tasks._version import __version__
from fluxora_tasks.interfaces.cli.entry import (
    EXIT_CODES,
    Command,
    Group,
    audit,
    dead,
    json_option,
    recorder,
    run,
)
from fluxora_tasks.interfaces.cli.entry_breakers import breakers
from fluxora_tasks.interfaces.cli.entry_groups import groups
from fluxora_tasks.interfaces.cli.entry_imports import imports
from fluxora_tasks.interfaces.cli.entry_operations import operations
from fluxora_tasks.interfaces.cli.entry_toggles import toggles

_state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FLUXORA_STATE_DIR",
    metavar="DIR",
    help="Directory of everything embedded; default: .fluxora",
)


@dataclass
class Invocation:
    """What the commands find as ``ctx.obj``, where `celery` has its own; the app is loaded when asked for.

    Attributes:
        app_name: As in ``celery -A``: ``module``, ``module.attribute`` or ``module:attribute``.
    """

    app_name: str

    @cached_property
    def app(self) -> Any:
        """The Celery app."""
        from fluxora_tasks.interfaces.cli.application import load_app

        return load_app(self.app_name)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.option(
    "-A",
    "--app",
    "app_name",
    envvar="FLUXORA_APP",
    default="workers.app",
    show_default=True,
    metavar="MODULE",
    help="The Celery app, as in celery -A; also FLUXORA_APP.",
)
@click.version_option(__version__, prog_name="fluxora")
@click.pass_context
def main(ctx: click.Context, app_name: str) -> None:
    """Celery that never loses a message: run it, and look after what died."""
    ctx.obj = Invocation(app_name)


main.add_command(dead)
main.add_command(groups)
main.add_command(operations)
main.add_command(imports)
main.add_command(breakers)
main.add_command(toggles)
main.add_command(recorder)
main.add_command(audit)


@main.command(cls=Command, epilog=EXIT_CODES)
@click.option("--no-flower", is_flag=True, help="Without Flower.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=5555,
    show_default=True,
    help="Port of Flower; the next free one if it is taken.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="Processes of the worker.",
)
@_state_dir
@click.pass_context
def up(ctx: click.Context, no_flower: bool, port: int, concurrency: int, state_dir: Path | None) -> None:
    """Start worker, recorder and Flower; Ctrl-C stops all.

    With no broker configured it also starts the embedded Valkey.
    """
    flower_port = None if no_flower else port
    run(ctx, "up:up", flower_port=flower_port, concurrency=concurrency, state_dir=state_dir)


@main.command(cls=Command, epilog=EXIT_CODES)
@json_option
@click.option("--stay", is_flag=True, help="Keep everything running after the report, until Ctrl-C.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the injected faults.")
@_state_dir
@click.pass_context
def demo(ctx: click.Context, as_json: bool, stay: bool, seed: int, state_dir: Path | None) -> None:
    """Run the whole way, once, on real electricity demand.

    Tasks fail, are listed, repaired and replayed; at the end every message is counted.
    """
    run(ctx, "demo:demo", as_json=as_json, stay=stay, seed=seed, state_dir=state_dir)


@main.command(
    cls=Command,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def flower(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run Flower with the pages on dead letters.

    The same as celery -A APP flower, with all its options.
    """
    run(ctx, "flower:flower", arguments=arguments)


if __name__ == "__main__":
    main()
