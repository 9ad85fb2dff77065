"""Who changes something, and why; and the code a change ends with. The same for every command that changes anything."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable

import click

from fluxora_tasks.interfaces.cli.errors import ExitCode
from fluxora_tasks.operations.records import Actor


def actor_of(
    ctx: click.Context, *, actor: str | None, reason: str | None, as_json: bool, needs_reason: bool = True
) -> Actor:
    """
    Whoever types this: the login name unless another is given.

    Args:
        needs_reason: Whether one has to be given; else it may be empty.

    Raises:
        click.UsageError: there is no reason, and nobody at a terminal to be asked for one.
    """
    why = _reason(ctx, reason, as_json) if needs_reason else (reason or "").strip()
    return Actor(name=actor or _login_name(), reason=why, source="cli")


def check_can_ask(ctx: click.Context, *, yes: bool, as_json: bool) -> None:
    """
    Raises:
        click.UsageError: nobody is there to be asked, and ``--yes`` is not given.
    """
    if not yes and (as_json or not _is_terminal()):
        raise click.UsageError("--yes is required where nobody can be asked", ctx)


def check_choice(
    ctx: click.Context, names: tuple[str, ...], filter_text: str | None, everything: bool, what: str = "ids"
) -> None:
    """Exactly one way of choosing; an empty filter would mean all, which has to be said."""
    if sum((bool(names), filter_text is not None, everything)) != 1:
        raise click.UsageError(f"name one or more {what}, or --filter TEXT, or --all", ctx)
    if filter_text is not None and not filter_text.strip():
        raise click.UsageError("an empty --filter selects everything; say --all if that is meant", ctx)


def exit_code_of(outcomes: Iterable[str]) -> ExitCode:
    """0 if all were done, 3 if some, else why none was."""
    found = set(outcomes)
    if found <= {"done"}:
        return ExitCode.OK
    if "done" in found:
        return ExitCode.PARTIAL
    if "failed" in found:
        return ExitCode.ABORTED
    return ExitCode.CONFLICT if found == {"conflict"} else ExitCode.REFUSED


def no_color(ctx: click.Context) -> bool:
    """Whether `celery --no-color` was said."""
    return bool(getattr(ctx.obj, "no_color", False))


def _reason(ctx: click.Context, reason: str | None, as_json: bool) -> str:
    if reason is None and not as_json and _is_terminal():
        reason = click.prompt("Reason", err=True)
    if reason is None:
        raise click.UsageError("--reason TEXT is required: it stands in the audit", ctx)
    if not reason.strip():
        raise click.UsageError("--reason is empty: it stands in the audit", ctx)
    return reason.strip()


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
