"""Every error leaves as one line with its code."""

from __future__ import annotations

import json
import sqlite3
from typing import NoReturn

import amqp.exceptions
import click
import kombu.exceptions
import pytest
import redis.exceptions
import sqlalchemy.exc

from fluxora_tasks.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ConflictError,
    FluxoraError,
    LedgerUnavailable,
    MissingExtra,
    RefusedError,
    StoreUnavailable,
    UnknownDeadLetter,
)
from fluxora_tasks.interfaces.cli.errors import Failure, failure_of, guarded


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (ConfigurationError("FLUXORA_BROKER_URL: no"), 2, "configuration"),
        (MissingExtra("embedded", "running without a broker"), 2, "extra.missing"),
        (UnknownDeadLetter("beef"), 4, "dead_letter.unknown"),
        (RefusedError("no such field"), 4, "refused"),
        (ConflictError("already replaying"), 6, "conflict"),
        (LedgerUnavailable("no schema"), 5, "ledger.unavailable"),
        (BrokerUnavailable("away"), 5, "broker.unavailable"),
        (StoreUnavailable("away"), 5, "store.unavailable"),
        (FluxoraError("other"), 5, "error"),
        (sqlalchemy.exc.ArgumentError("Could not parse"), 2, "configuration"),
        (sqlalchemy.exc.NoSuchModuleError("no dialect"), 2, "configuration"),
        (sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("refused")), 5, "ledger.unavailable"),
        (sqlite3.OperationalError("unable to open database file"), 5, "ledger.unavailable"),
        (kombu.exceptions.OperationalError("refused"), 5, "broker.unavailable"),
        (amqp.exceptions.AccessRefused("guest"), 5, "broker.unavailable"),
        (redis.exceptions.ConnectionError("refused"), 5, "store.unavailable"),
        (ConnectionRefusedError(111, "Connection refused"), 5, "broker.unavailable"),
        (PermissionError(13, "Permission denied", "/x"), 5, "system"),
        (ModuleNotFoundError("No module named 'psycopg'", name="psycopg"), 2, "extra.missing"),
        (ModuleNotFoundError("No module named 'flower'", name="flower.app"), 2, "extra.missing"),
        (KeyboardInterrupt(), 5, "aborted"),
        (ZeroDivisionError("division by zero"), 1, "fault"),
    ],
)
def test_code_of_an_error(error: BaseException, exit_code: int, code: str) -> None:
    """The exit code and the word for programs follow the family, foreign ones included."""
    failure = failure_of(error)
    assert (failure.exit_code, failure.code) == (exit_code, code)
    assert "\n" not in failure.message


def test_a_password_is_masked() -> None:
    """No password of a URL is printed, whoever put it into the text."""
    failure = failure_of(kombu.exceptions.OperationalError("amqp://ada:s3cret@host/vhost refused"))
    assert "amqp://ada:***@host/vhost" in failure.message
    assert "s3cret" not in failure.message


def test_an_error_whose_text_raises_is_survived() -> None:
    """The name of its class is said instead."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert "Mute" in failure_of(Mute()).message


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """FLUXORA_DEBUG=1 prints it on standard error; without it there is none."""

    def fail() -> NoReturn:
        raise ConfigurationError("wrong")

    with pytest.raises(Failure):
        guarded(fail)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FLUXORA_DEBUG", "1")
    with pytest.raises(Failure):
        guarded(fail)
    assert "Traceback" in capsys.readouterr().err


def test_a_failure_shows_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    """A line on standard error for people; a document on standard output for programs."""
    failure_of(RefusedError("no \x1b[31m")).show()
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "Error: no \\x1b[31m\n")
    failure_of(RefusedError("no"), as_json=True).show()
    seen = capsys.readouterr()
    assert json.loads(seen.out) == {"error": {"code": "refused", "message": "no"}}
    assert seen.err == ""


@pytest.mark.parametrize("error", [click.exceptions.Exit(3), BrokenPipeError(), click.ClickException("x")])
def test_what_click_handles_passes(error: BaseException) -> None:
    """An exit, a closed pipe and click's own errors are left to click."""

    def fail() -> NoReturn:
        raise error

    with pytest.raises(type(error)):
        guarded(fail)
