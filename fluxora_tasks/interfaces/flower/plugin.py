"""Puts our pages behind Flower's own command: ``flower.command.Flower`` is called through us.

Flower's entry point imports ``flower.command`` in every ``celery`` process, workers too; doing the same here
costs nothing more, and needs no import hook whose order would matter.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import click

from fluxora_tasks.errors import MissingExtra

logger = logging.getLogger(__name__)

_COMMAND = "flower.command"
_APPLICATION = "Flower"
_MARK = "_fluxora_wraps"

Build = Callable[..., Any]


def put_in_place() -> bool:
    """Wrap what the ``flower`` command calls to build its application; idempotent, never raises.

    Returns:
        Whether it is in place: ``False`` without Flower, or with a Flower built differently.
    """
    if find_spec("flower") is None:
        return False
    try:
        command = importlib.import_module(_COMMAND)
        build = getattr(command, _APPLICATION)
    except Exception as exc:  # noqa: BLE001 - a broken Flower must not stop a worker; Flower's own command tells
        logger.warning("Dead-letter pages are off: this Flower is built differently (%r)", exc)
        return False
    if not hasattr(build, _MARK):
        setattr(command, _APPLICATION, with_pages(build))
    return True


def with_pages(build: Build) -> Build:
    """The same constructor; what it returns has our pages where the Celery app has ``install`` applied."""

    def application(*args: Any, **kwargs: Any) -> Any:
        flower = build(*args, **kwargs)
        _tell_a_taken_port(flower)
        _add_pages(flower)
        return flower

    setattr(application, _MARK, build)
    return application


def run(arguments: tuple[str, ...]) -> None:
    """Run Flower's own command in the current click context."""
    importlib.import_module(_COMMAND).flower.callback(tornado_argv=arguments)


def why_not() -> str:
    """One line for a person whose Flower has no pages of ours."""
    if find_spec("flower") is None:
        return str(MissingExtra("flower", "Flower with dead-letter pages"))
    return "this Flower is built differently; the dead-letter pages need: pip install 'fluxora-tasks[flower]'"


class CannotListen(click.ClickException):
    """Flower's address is taken, or is none of this machine's: a matter of configuration."""

    exit_code = 2


def _tell_a_taken_port(flower: Any) -> None:
    """One line instead of Flower's traceback."""
    start = getattr(flower, "start_http_server", None)
    if start is None:
        return

    def start_or_tell() -> Any:
        try:
            return start()
        except OSError as exc:
            where = f"{flower.options.address or '*'}:{flower.options.port}"
            raise CannotListen(
                f"Flower cannot listen on {where} ({exc.strerror}); choose another: --port=N --address=HOST"
            ) from exc

    flower.start_http_server = start_or_tell


def _add_pages(flower: Any) -> None:
    try:
        # only here: a worker that loads this module must not load the ledger or templates
        from fluxora_tasks.install import extension_of

        extension = extension_of(flower.capp)
        if extension is None:
            return
        # the ledger's migrations tell of each of their plugins while they are imported
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from fluxora_tasks.interfaces.flower.application import add_pages

        add_pages(flower, extension)
    except Exception as exc:  # noqa: BLE001 - Flower goes on without our pages
        logger.warning("Dead-letter pages are off: this Flower is built differently (%r)", exc)
