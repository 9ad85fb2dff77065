"""The Celery app a command works for: `celery -A`'s own, or the one of `fluxora --app` [celery, lazily]."""

from __future__ import annotations

import traceback
from types import ModuleType
from typing import Any

import click

from fluxora_tasks.errors import ConfigurationError, FluxoraError
from fluxora_tasks.install import Extension, extension_of


def application(ctx: click.Context) -> Any:
    """The app of this command line, whichever program runs it."""
    return ctx.obj.app


def extension(ctx: click.Context) -> Extension:
    """What `install` left on the app.

    Raises:
        ConfigurationError: `install` was never called for it.
    """
    app = application(ctx)
    found = extension_of(app)
    if found is None:
        name = getattr(app, "main", None) or "default"
        raise ConfigurationError(
            f"the app {name!r} is a plain Celery app: name yours with -A, "
            "and add one line after it is made: fluxora_tasks.install(app)"
        )
    return found


def load_app(name: str) -> Any:
    """Import the app as `celery -A` does, the working directory first.

    Raises:
        ConfigurationError: one line saying what is wrong with the name or the module.
    """
    from celery.app.utils import find_app

    try:
        app = find_app(name)
    except FluxoraError:
        raise
    except ModuleNotFoundError as exc:
        raise ConfigurationError(_not_found(name, exc.name or "")) from exc
    except AttributeError as exc:
        raise ConfigurationError(f"--app {name}: {exc}") from exc
    except Exception as exc:
        raise ConfigurationError(f"--app {name} cannot be imported: {_where(exc)}") from exc
    if isinstance(app, ModuleType) or not hasattr(app, "connection_for_write"):
        raise ConfigurationError(f"--app {name}: there is no Celery app of this name")
    return app


def _not_found(name: str, missing: str) -> str:
    module = name.partition(":")[0]
    if missing and (module == missing or module.startswith(f"{missing}.")):
        return (
            f"no module {missing!r} in the working directory or the environment; "
            f"name your app: fluxora --app MODULE (or FLUXORA_APP)"
        )
    return f"--app {name} cannot be imported: it needs the module {missing!r}, which is not installed"


def _where(error: Exception) -> str:
    """The error and the line it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
