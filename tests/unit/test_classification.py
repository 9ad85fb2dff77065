"""What a failure means."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import http.client
import smtplib
import socket
import sqlite3
import ssl
import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message
from types import SimpleNamespace
from typing import Any

import amqp.exceptions
import celery.exceptions
import kombu.exceptions
import psycopg.errors
import pytest
import redis.exceptions
import requests
import sqlalchemy.exc
import urllib3.exceptions

from fluxora_tasks import NonRetryableError, RetryableError
from fluxora_tasks.classification import is_timeout, of_status, retry_after_of
from fluxora_tasks.errors import CircuitBreakerError, ConflictError, StoreUnavailable
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
        (SystemExit(), Outcome.IGNORED),
        (GeneratorExit(), Outcome.IGNORED),
        (asyncio.CancelledError(), Outcome.IGNORED),
        (concurrent.futures.CancelledError(), Outcome.IGNORED),
        (CircuitBreakerError("api"), Outcome.IGNORED),
        (ConflictError(), Outcome.IGNORED),
        (StoreUnavailable(), Outcome.FAILURE_RETRYABLE),
        (asyncio.IncompleteReadError(b"", 4), Outcome.FAILURE_RETRYABLE),
        (ssl.SSLEOFError(), Outcome.FAILURE_RETRYABLE),
        (ssl.SSLCertVerificationError(), Outcome.FAILURE_FATAL),
        (smtplib.SMTPResponseException(451, "later"), Outcome.FAILURE_RETRYABLE),
        (smtplib.SMTPResponseException(550, "no such user"), Outcome.BAD_REQUEST),
        (redis.exceptions.ReadOnlyError(), Outcome.FAILURE_RETRYABLE),  # a failover
        (redis.exceptions.AuthenticationError(), Outcome.FAILURE_FATAL),
        (amqp.exceptions.ConnectionForced(), Outcome.FAILURE_RETRYABLE),
        (amqp.exceptions.NotFound(), Outcome.FAILURE_FATAL),  # its code is AMQP's, not HTTP's
        (psycopg.errors.SerializationFailure(), Outcome.FAILURE_RETRYABLE),
        (psycopg.errors.InvalidPassword(), Outcome.FAILURE_FATAL),
        (psycopg.errors.UniqueViolation(), Outcome.FAILURE_FATAL),
        (requests.ConnectTimeout(), Outcome.FAILURE_RETRYABLE),
        (requests.exceptions.InvalidURL(), Outcome.FAILURE_FATAL),
        (urllib3.exceptions.ProtocolError(), Outcome.FAILURE_RETRYABLE),
        (urllib3.exceptions.LocationParseError("x"), Outcome.FAILURE_FATAL),
        (celery.exceptions.Ignore(), Outcome.IGNORED),
        (celery.exceptions.Reject(), Outcome.IGNORED),
        (celery.exceptions.SoftTimeLimitExceeded(), Outcome.FAILURE_FATAL),
        (celery.exceptions.Retry(exc=TimeoutError()), Outcome.FAILURE_RETRYABLE),  # what it was retried for
        (celery.exceptions.Retry(exc=KeyError()), Outcome.FAILURE_FATAL),
        (celery.exceptions.Retry(), Outcome.IGNORED),
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


def driver_error(**facts: Any) -> Exception:
    """An error as a database driver makes it."""
    error = Exception(facts.pop("number", None))
    vars(error).update(facts)
    return error


class MySqlError(Exception):
    __module__ = "pymysql.err"


@pytest.mark.parametrize(
    ("orig", "outcome"),
    [
        (driver_error(sqlstate="40001"), Outcome.FAILURE_RETRYABLE),  # serialization
        (driver_error(pgcode="40P01"), Outcome.FAILURE_RETRYABLE),  # deadlock, psycopg 2
        (driver_error(sqlstate="08006"), Outcome.FAILURE_RETRYABLE),  # connection
        (driver_error(sqlstate="57P01"), Outcome.FAILURE_RETRYABLE),  # shutdown
        (driver_error(sqlstate="28P01"), Outcome.FAILURE_FATAL),  # password
        (driver_error(sqlstate="23505"), Outcome.FAILURE_FATAL),  # unique
        (driver_error(sqlite_errorcode=sqlite3.SQLITE_BUSY), Outcome.FAILURE_RETRYABLE),
        (driver_error(sqlite_errorcode=sqlite3.SQLITE_ERROR), Outcome.FAILURE_FATAL),
        (MySqlError(1213, "deadlock"), Outcome.FAILURE_RETRYABLE),
        (MySqlError(1064, "syntax"), Outcome.FAILURE_FATAL),
    ],
)
def test_what_a_database_says(orig: Exception, outcome: Outcome) -> None:
    """The state or number of the driver's error decides, whatever SQLAlchemy calls it."""
    assert classify(sqlalchemy.exc.DatabaseError("select", {}, orig)) is outcome


def test_a_lost_connection_is_worth_another_attempt() -> None:
    """SQLAlchemy tells so by itself; a missing table of SQLite does not pass, though it is an operational error."""
    lost = sqlalchemy.exc.InterfaceError("select", {}, Exception(), connection_invalidated=True)
    assert classify(lost) is Outcome.FAILURE_RETRYABLE
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(":memory:").execute("select * from missing")
    assert classify(caught.value) is Outcome.FAILURE_FATAL
    assert classify(sqlalchemy.exc.OperationalError("select", {}, caught.value)) is Outcome.FAILURE_FATAL


def answered(status: int, **headers: str) -> Any:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def test_what_carries_a_status() -> None:
    """Of any library: on the error, on its response, or in AWS's mapping; a code of its own is no status."""

    class ApiError(Exception):
        def __init__(self, **facts: Any) -> None:
            vars(self).update(facts)

    throttling = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
    aws = type("ClientError", (ApiError,), {"__module__": "botocore.exceptions"})
    assert classify(requests.HTTPError(response=answered(503))) is Outcome.FAILURE_RETRYABLE
    assert classify(requests.HTTPError(response=answered(422))) is Outcome.BAD_REQUEST
    assert classify(ApiError(status_code=429)) is Outcome.THROTTLED
    assert classify(ApiError(status=http.HTTPStatus.BAD_GATEWAY)) is Outcome.FAILURE_RETRYABLE
    assert classify(ApiError(status="503")) is Outcome.FAILURE_FATAL
    assert classify(ApiError(code=503)) is Outcome.FAILURE_FATAL
    assert classify(aws(response=throttling)) is Outcome.THROTTLED
    assert classify(aws(response={"ResponseMetadata": {"HTTPStatusCode": 500}})) is Outcome.FAILURE_RETRYABLE


@pytest.mark.parametrize(
    ("code", "pushback", "outcome"),
    [
        ("UNAVAILABLE", None, Outcome.FAILURE_RETRYABLE),
        ("RESOURCE_EXHAUSTED", "1500", Outcome.THROTTLED),
        ("UNAVAILABLE", "-1", Outcome.FAILURE_FATAL),  # the server wants no further attempt
        ("NOT_FOUND", None, Outcome.BAD_REQUEST),
        ("CANCELLED", None, Outcome.IGNORED),
        ("INTERNAL", None, Outcome.FAILURE_FATAL),
    ],
)
def test_grpc(code: str, pushback: str | None, outcome: Outcome) -> None:
    """By the status code and the server's pushback, without grpc."""

    class RpcError(Exception):
        __module__ = "grpc"
        __qualname__ = "RpcError"

        def code(self) -> Any:
            return SimpleNamespace(name=code)

        def trailing_metadata(self) -> Any:
            return () if pushback is None else (("grpc-retry-pushback-ms", pushback),)

    assert classify(RpcError()) is outcome
    assert retry_after_of(RpcError(), NOW) == (1.5 if pushback == "1500" else None)


def test_a_family_of_ours_wins_over_other_bases() -> None:
    """Declared never retryable stays so, whatever else it inherits from; a row of its own is more specific."""

    class Gone(ConnectionError, NonRetryableError):
        pass

    assert classify(Gone()) is Outcome.FAILURE_FATAL
    assert Classifier({Gone: Outcome.BAD_REQUEST})(Gone()) is Outcome.BAD_REQUEST


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ([ConnectionError(), TimeoutError()], Outcome.FAILURE_RETRYABLE),
        ([ConnectionError(), http_error(429)], Outcome.THROTTLED),
        ([ConnectionError(), ValueError()], Outcome.FAILURE_FATAL),
        ([ConnectionError(), http_error(404)], Outcome.FAILURE_FATAL),
        ([http_error(404)], Outcome.BAD_REQUEST),
        ([ConnectionError(), CircuitBreakerError()], Outcome.FAILURE_RETRYABLE),
        ([CircuitBreakerError()], Outcome.IGNORED),
        ([ExceptionGroup("inner", [ConnectionError()])], Outcome.FAILURE_RETRYABLE),
    ],
)
def test_groups(errors: list[Exception], outcome: Outcome) -> None:
    """Worth another attempt only where each of the errors is."""
    assert classify(ExceptionGroup("several", errors)) is outcome


def test_predicates_run_before_rows_and_the_strictest_holds() -> None:
    """Ignore before never, never before throttled, throttled before again; one that raises is told once."""

    def of(name: str, outcome: Outcome) -> Any:
        return lambda error: outcome if name in str(error) else None

    mine = Classifier(
        {KeyError: Outcome.BAD_REQUEST},
        [of("again", Outcome.FAILURE_RETRYABLE), of("never", Outcome.FAILURE_FATAL), of("skip", Outcome.IGNORED)],
    )
    assert mine(KeyError("again")) is Outcome.FAILURE_RETRYABLE
    assert mine(KeyError("again never")) is Outcome.FAILURE_FATAL
    assert mine(KeyError("again never skip")) is Outcome.IGNORED
    assert mine(KeyError("what")) is Outcome.BAD_REQUEST


def test_a_raising_predicate_is_told_once_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """It has no opinion."""

    def broken(error: BaseException) -> Outcome:
        raise RuntimeError("secret")

    mine = Classifier(predicates=[broken])
    assert [mine(TimeoutError()) for _ in range(3)] == [Outcome.FAILURE_RETRYABLE] * 3
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_rows_and_predicates_are_added_on_top() -> None:
    """The one they are added to stays as it is."""
    first = Classifier({KeyError: Outcome.THROTTLED})
    second = first.with_rules({ValueError: Outcome.BAD_REQUEST}, [lambda error: None])
    assert (second(KeyError()), second(ValueError())) == (Outcome.THROTTLED, Outcome.BAD_REQUEST)
    assert first(ValueError()) is Outcome.FAILURE_FATAL


def test_timeouts() -> None:
    """By type, by the name of a library's type, or by what an error was raised from."""
    wrapped = RuntimeError()
    wrapped.__cause__ = requests.ReadTimeout()
    assert is_timeout(TimeoutError())
    assert is_timeout(redis.exceptions.TimeoutError())
    assert is_timeout(wrapped)
    assert not is_timeout(ConnectionError())


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
        (timedelta(seconds=9), 9.0),
        (datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC), 5.0),
    ],
)
def test_retry_after(given: Any, seconds: float | None) -> None:
    """Both header forms are read; what cannot be read is ignored."""
    response = SimpleNamespace(headers={"Retry-After": given})
    assert retry_after_of(SimpleNamespace(response=response), NOW) == seconds  # type: ignore[arg-type]
    assert retry_after_of(RetryableError("x", given), NOW) == seconds


def test_where_a_wish_is_found() -> None:
    """On the response of each library, in any case of letters, and on what an error was raised from."""

    def carrying(**facts: Any) -> Exception:
        error = Exception()
        vars(error).update(facts)
        return error

    aws = {"ResponseMetadata": {"HTTPHeaders": {"retry-after": "4"}}}
    wrapped = RuntimeError()
    wrapped.__cause__ = requests.HTTPError(response=answered(503, Retry_After="6"))
    assert retry_after_of(carrying(headers={"retry-after": "3"}), NOW) == 3
    assert retry_after_of(carrying(response=aws), NOW) == 4
    assert retry_after_of(wrapped, NOW) == 6
    assert retry_after_of(ExceptionGroup("both", [RetryableError("a", 2), RetryableError("b", 8)]), NOW) == 8


def test_an_error_that_raises_on_its_attributes_asks_for_nothing() -> None:
    """Foreign code does not end ours."""

    class Hostile(Exception):
        @property
        def response(self) -> Any:
            raise RuntimeError

    assert retry_after_of(Hostile(), NOW) is None
    assert classify(Hostile()) is Outcome.FAILURE_FATAL
