"""`fluxora demo`: hands over to the example workers, which the library knows by name only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from fluxora_tasks.errors import ConfigurationError

_MODULE = "workers.demo"


def demo(ctx: click.Context, *, as_json: bool, stay: bool, seed: int, state_dir: Path | None) -> None:
    """Run the demo; its exit code is ours."""
    ctx.exit(_module().run(as_json=as_json, stay=stay, seed=seed, state_dir=state_dir))


def _module() -> ModuleType:
    try:
        return import_module(_MODULE)
    except ModuleNotFoundError as exc:
        if exc.name not in ("workers", _MODULE):
            raise
        raise ConfigurationError(
            f"the module {_MODULE} is not installed, or another package of the name hides it; "
            "the demo comes with: pip install fluxora-tasks"
        ) from exc
