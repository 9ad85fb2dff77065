"""What a failure means."""

from __future__ import annotations

import errno
import http.client
import socket
import urllib.error
from datetime import UTC, datetime
from email.message import Message
from types import SimpleNamespace
from typing import Any

import kombu.exceptions
import pytest
import redis.exceptions
import sqlalchemy.exc

from fluxora_tasks import NonRetryableError, RetryableError
from fluxora_tasks.classification import of_status, retry_after_of
from fluxora_tasks.retry import Classifier, Outcome, classify

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", status, "no", Message(), None)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(), Outcome.FAILURE_RETRYABLE),
        (TimeoutError(), Outcome.FAILURE_RETRYABLE),
        (socket.gaierror(), Outcome.FAILURE_RETRYABLE),
        (OSError(errno.EHOSTUNREACH, "no route"), Outcome.FAILURE_RETRYABLE),
        (OSError(errno.ENOENT, "no file"), Outcome.FAILURE_FATAL),
        (FileNotFoundError(), Outcome.FAILURE_FATAL),
        (urllib.error.URLError("refused"), Outcome.FAILURE_RETRYABLE),
        (http_error(503), Outcome.FAILURE_RETRYABLE),
        (http_error(429), Outcome.THROTTLED),
        (http_error(404), Outcome.BAD_REQUEST),
        (http.client.RemoteDisconnected(), Outcome.FAILURE_RETRYABLE),
        (redis.exceptions.ConnectionError(), Outcome.FAILURE_RETRYABLE),
        (redis.exceptions.ResponseError(), Outcome.FAILURE_FATAL),
        (kombu.exceptions.OperationalError(), Outcome.FAILURE_RETRYABLE),
        (sqlalchemy.exc.OperationalError("select", {}, Exception()), Outcome.FAILURE_RETRYABLE),
        (sqlalchemy.exc.IntegrityError("insert", {}, Exception()), Outcome.FAILURE_FATAL),
        (RetryableError("soon"), Outcome.FAILURE_RETRYABLE),
        (NonRetryableError("never"), Outcome.FAILURE_FATAL),
        (ValueError(), Outcome.FAILURE_FATAL),
        (KeyboardInterrupt(), Outcome.IGNORED),
    ],
)
def test_default_table(error: BaseException, outcome: Outcome) -> None:
    """Transient errors of the usual libraries are known, everything else is fatal."""
    assert classify(error) is outcome


def test_an_explicit_cause_decides_where_the_error_says_nothing() -> None:
    """``raise MyError from ConnectionError()`` is as transient as its cause; an implicit context is not asked."""

    class MyError(Exception):
        pass

    error = MyError()
    error.__cause__ = ConnectionResetError()
    assert classify(error) is Outcome.FAILURE_RETRYABLE
    other = MyError()
    other.__context__ = ConnectionResetError()
    assert classify(other) is Outcome.FAILURE_FATAL


def test_a_loop_of_causes_ends() -> None:
    """Errors that cause each other do not hang the classifier."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert classify(first) is Outcome.FAILURE_FATAL


def test_rows_of_the_application_win_and_a_raising_predicate_has_no_opinion() -> None:
    """The table is data."""

    def broken(error: BaseException) -> Outcome:
        raise RuntimeError

    mine = Classifier({KeyError: Outcome.FAILURE_RETRYABLE, "builtins.ValueError": broken})
    assert mine(KeyError()) is Outcome.FAILURE_RETRYABLE
    assert mine(ValueError()) is Outcome.FAILURE_FATAL


@pytest.mark.parametrize(("status", "outcome"), [(200, None), ("503", None), (408, Outcome.FAILURE_RETRYABLE)])
def test_status(status: Any, outcome: Outcome | None) -> None:
    """Only failure statuses mean something."""
    assert of_status(status) is outcome


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7.0),
        (0.5, 0.5),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", None),  # a moment that has passed
        ("soon", None),
        (-3, None),
        ("nan", None),
        ("inf", None),
        (True, None),
        (None, None),
    ],
)
def test_retry_after(given: Any, seconds: float | None) -> None:
    """Both header forms are read; what cannot be read is ignored."""
    response = SimpleNamespace(headers={"Retry-After": given})
    assert retry_after_of(SimpleNamespace(response=response), NOW) == seconds  # type: ignore[arg-type]
    assert retry_after_of(RetryableError("x", given), NOW) == seconds
