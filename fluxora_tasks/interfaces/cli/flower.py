"""`fluxora flower`: `celery -A APP flower`, under our name [celery, flower: lazily]."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import click

from fluxora_tasks.errors import MissingExtra
from fluxora_tasks.interfaces.cli.application import extension


def flower(ctx: click.Context, *, arguments: Sequence[str], as_json: bool) -> None:
    """Check what Flower needs, then let celery run it; its exit code is ours."""
    del as_json  # it has none of our documents
    if find_spec("flower") is None:
        raise MissingExtra("flower", "fluxora flower")
    extension(ctx)
    from celery.bin.celery import celery

    celery.main(["-A", ctx.obj.app_name, "flower", *arguments], prog_name="celery", auto_envvar_prefix="CELERY")
