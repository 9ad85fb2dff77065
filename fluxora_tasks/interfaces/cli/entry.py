"""Declarations of the commands that are also plugins of ``celery`` [click].

Loaded in every ``celery`` process, workers included: it imports click, which is there already, and nothing
else. The functions behind the commands are named, and imported when a command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar

import click

from fluxora_tasks.errors import FluxoraError

EXIT_CODES = (
    "\b\n"
    "Exit codes: 0 done, 2 usage or configuration, 3 done in part, 4 refused,\n"
    "5 aborted (broker, ledger or Redis away), 6 conflict. With --json an error\n"
    'is {"error": {"code", "message"}} on standard output.'
)

_F = TypeVar("_F", bound=Callable[..., Any])

_LOADED_FROM = __package__ or "fluxora_tasks.interfaces.cli"


class Command(click.Command):
    """A command whose usage errors keep to ``--json`` too."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments; with ``--json`` among them, an error becomes one document."""
        as_json = "--json" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as exc:
            told = _with_hint(exc)
            raise _errors().usage_failure(told) if as_json else told from exc


def _with_hint(error: click.UsageError) -> click.UsageError:
    """The error; of an app named too late, with the place where it belongs."""
    if not isinstance(error, click.NoSuchOption) or error.option_name not in ("-A", "--app"):
        return error
    text = f"{error.format_message()} It stands before the command: fluxora --app MODULE ..."
    return click.UsageError(text, error.ctx)


#: Short for.
_SHORT = {"ls": "list", "ops": "operations"}


class Group(click.Group):
    """A group that names near commands after a slip, and keeps to ``--json`` in doing so."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or of what it is short for."""
        return super().get_command(ctx, _SHORT.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; with ``--json`` among its arguments, an error becomes one document."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            slip = self._with_near_commands(ctx, args[0], exc)
            raise _errors().usage_failure(slip) if "--json" in args else slip from exc

    def _with_near_commands(self, ctx: click.Context, word: str, error: click.UsageError) -> click.UsageError:
        near = get_close_matches(word, self.list_commands(ctx))
        message = error.format_message()
        if not near or "Did you mean" in message:
            return error
        return click.UsageError(f"{message} Did you mean: {', '.join(near)}?", error.ctx)


class WaitingCommand(Command):
    """A command with ``--wait [SECONDS]``: a word after it that is no number of seconds is an id."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare ``--wait`` its default before click takes the next word for its value."""
        return super().parse_args(ctx, _with_wait_value(args))


def _with_wait_value(args: list[str]) -> list[str]:
    following = [*args[1:], ""]
    return [
        f"--wait={DEFAULT_WAIT}" if word == "--wait" and not _is_seconds(after) else word
        for word, after in zip(args, following, strict=True)
    ]


def _is_seconds(word: str) -> bool:
    """Whether the word is meant as seconds: at most a day, so that eight digits are still an id."""
    whole, _, rest = word.partition(".")
    return whole.isdecimal() and len(whole) <= 5 and (not rest or rest.isdecimal()) and float(word) <= 86_400


#: Seconds a bare ``--wait`` waits for outcomes.
DEFAULT_WAIT = 60


def run(ctx: click.Context, target: str, *, as_json: bool = False, **options: Any) -> None:
    """Import ``module:function`` and run it; what it raises becomes one line and an exit code."""
    module, _, name = target.partition(":")
    _errors().guarded(
        lambda: getattr(import_module(f"{_LOADED_FROM}.{module}"), name)(ctx, as_json=as_json, **options),
        as_json=as_json,
    )


def _errors() -> Any:
    return import_module(f"{_LOADED_FROM}.errors")


def tell_configuration_errors() -> None:
    """Let `celery -A` answer a wrong setting with one line: by itself it prints the traceback of the import."""
    program = sys.modules.get("celery.bin.celery")
    find_app = getattr(program, "find_app", None)
    if find_app is None or hasattr(find_app, "__wrapped__"):
        return

    @wraps(find_app)
    def find(*args: Any, **kwargs: Any) -> Any:
        try:
            return find_app(*args, **kwargs)
        except FluxoraError as exc:
            raise _errors().ended(exc, as_json="--json" in sys.argv) from exc

    setattr(program, "find_app", find)  # noqa: B010  a module of celery has no such attribute for mypy


json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output, and nothing else."
)
_filter_option = click.option(
    "--filter",
    "filter_text",
    default=None,
    metavar="TEXT",
    help='For example "task:orders.* status:FAILED".',
)


def paged(function: _F) -> _F:
    """Which page of a list."""
    for decorate in (
        json_option,
        click.option("--cursor", metavar="C", help="Where the page before this one ended."),
        click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Rows of one page."),
    ):
        function = decorate(function)
    return function


def acting(function: _F) -> _F:
    """Who does it and why, of every command that changes something."""
    for decorate in (
        json_option,
        click.option("--actor", envvar="FLUXORA_ACTOR", metavar="NAME", help="Who does it; default: the login name."),
        click.option(
            "--reason", metavar="TEXT", help="Why; kept in the audit. Asked for on a terminal, else required."
        ),
    ):
        function = decorate(function)
    return function


def _action(everything: str = "Every PENDING dead letter.") -> Callable[[_F], _F]:
    """The arguments and options every action on dead letters takes; ``everything`` is what ``--all`` means."""

    def decorated(function: _F) -> _F:
        for decorate in (
            acting,
            click.option("--all", "everything", is_flag=True, help=everything),
            _filter_option,
            click.argument("ids", nargs=-1, metavar="[ID]..."),
        ):
            function = decorate(function)
        return function

    return decorated


@click.group(cls=Group, epilog=EXIT_CODES)
def dead() -> None:
    """List, show, replay, resolve, discard, restore, release and give up dead letters."""


@dead.command("list", cls=Command, epilog=EXIT_CODES)
@_filter_option
@paged
@click.pass_context
def dead_list(ctx: click.Context, filter_text: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List dead letters, newest failure first."""
    run(ctx, "dead:list_page", filter_text=filter_text or "", limit=limit, cursor=cursor, as_json=as_json)


@dead.command("show", cls=Command, epilog=EXIT_CODES)
@click.argument("dead_id", metavar="ID")
@json_option
@click.pass_context
def dead_show(ctx: click.Context, dead_id: str, as_json: bool) -> None:
    """Show one dead letter: error, traceback, arguments, history.

    ID may be the first characters of an id, four or more.
    """
    run(ctx, "dead:show", dead_id=dead_id, as_json=as_json)


@dead.command("export", cls=Command, epilog=EXIT_CODES)
@_filter_option
@json_option
@click.pass_context
def dead_export(ctx: click.Context, filter_text: str | None, as_json: bool) -> None:
    """Write dead letters as lines of JSON, with secrets hidden.

    Each line is what "show --json" prints. Without --filter: all of them.
    """
    run(ctx, "dead:export", filter_text=filter_text or "", as_json=as_json)


@dead.command("replay", cls=WaitingCommand, epilog=EXIT_CODES)
@_action()
@click.option(
    "--wait",
    type=click.FloatRange(0, 86_400),
    is_flag=False,
    flag_value=DEFAULT_WAIT,
    metavar="[SECONDS]",
    help=f"Wait for the outcomes ({DEFAULT_WAIT} s if no number follows). Code 3 if one did not resolve.",
)
@click.pass_context
def dead_replay(ctx: click.Context, /, wait: float | None, as_json: bool, **options: Any) -> None:
    """Send dead letters again, byte for byte, to the queue they came from.

    At once, at most 10,000. For more, or at a pace: operations run replay.
    """
    run(ctx, "dead:replay", wait=wait, as_json=as_json, **options)


@dead.command("resolve", cls=Command, epilog=EXIT_CODES)
@_action()
@click.pass_context
def dead_resolve(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Mark dead letters as resolved by other means.

    At most 10,000; for more: operations run resolve.
    """
    run(ctx, "dead:resolve", as_json=as_json, **options)


@dead.command("discard", cls=Command, epilog=EXIT_CODES)
@_action()
@click.pass_context
def dead_discard(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Mark dead letters as not wanted any more.

    At most 10,000; for more: operations run discard.
    """
    run(ctx, "dead:discard", as_json=as_json, **options)


@dead.command("reveal", cls=Command, epilog=EXIT_CODES)
@click.argument("dead_id", metavar="ID")
@click.option("--raw", is_flag=True, help="The bytes of the body, and nothing else.")
@acting
@click.pass_context
def dead_reveal(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Show the message of a dead letter as it was received, with nothing hidden.

    Who looked at it and why stands in the audit. A body is never loaded.
    """
    run(ctx, "dead:reveal", as_json=as_json, **options)


@dead.command("restore", cls=Command, epilog=EXIT_CODES)
@_action("Every DISCARDED dead letter.")
@click.pass_context
def dead_restore(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Take back a discard, or a resolve by hand: PENDING again.

    With --filter, DISCARDED ones are meant unless it names a status. At most 10,000; for more: operations run
    restore.
    """
    run(ctx, "dead:restore", as_json=as_json, **options)


@dead.command("lost", cls=Command, epilog=EXIT_CODES)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--anyway", is_flag=True, help="Also replays that have not been silent for long.")
@acting
@click.pass_context
def dead_lost(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Give up replays that nobody has heard of: PENDING again.

    Workers are told first, so a message that turns up late is dropped; a run that has begun goes on. Which they are:
    dead list --filter unconfirmed:true
    """
    run(ctx, "dead:lost", as_json=as_json, **options)


@dead.command("release", cls=Command, epilog=EXIT_CODES)
@_action("Every FAILED dead letter.")
@click.pass_context
def dead_release(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Take dead letters out of quarantine: PENDING again.

    The count of their replays begins anew. With --filter, FAILED ones are meant.
    """
    run(ctx, "dead:release", as_json=as_json, **options)


@click.command(cls=Command, epilog=EXIT_CODES)
@click.option(
    "--loglevel",
    "-l",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="Least level that is logged, on standard error.",
)
@click.pass_context
def recorder(ctx: click.Context, loglevel: str) -> None:
    """Move dead letters from their queue to the ledger.

    Runs until SIGTERM or Ctrl-C; what it has taken is stored and acknowledged first.
    """
    run(ctx, "recorder:record", loglevel=loglevel)


@click.group(cls=Group, epilog=EXIT_CODES, invoke_without_command=True)
@json_option
@click.pass_context
def audit(ctx: click.Context, as_json: bool) -> None:
    """Count every message sent, and name the lost ones.

    Each one succeeded, stands in the ledger, is waiting, or is lost. Code 0 only if none is lost. With a command: who
    changed what in the ledger, and why.
    """
    if ctx.invoked_subcommand is None:
        run(ctx, "audit:audit", as_json=as_json)


def _asking(function: _F) -> _F:
    """What may be asked of the audit."""
    day = click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"))
    for decorate in (
        click.option("--until", type=day, metavar="TIME", help="Before then, UTC."),
        click.option("--since", type=day, metavar="TIME", help="From then on, UTC: 2026-11-26 or 2026-11-26T09:30:00."),
        click.option("--event", metavar="NAME", help="What was done: replayed, resolved, group_ignored, …"),
        click.option("--actor", metavar="NAME", help="Who did it."),
        click.option("--about", metavar="ID", help="A dead letter, a group or an operation, by its whole id."),
    ):
        function = decorate(function)
    return function


@audit.command("list", cls=Command, epilog=EXIT_CODES)
@_asking
@paged
@click.pass_context
def audit_list(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """List changes of dead letters, groups and operations, newest first."""
    run(ctx, "trail:list_page", as_json=as_json, **options)


@audit.command("export", cls=Command, epilog=EXIT_CODES)
@_asking
@click.pass_context
def audit_export(ctx: click.Context, /, **options: Any) -> None:
    """Print all of it as JSON lines, oldest first, in the Elastic Common Schema."""
    run(ctx, "trail:export", **options)


tell_configuration_errors()
