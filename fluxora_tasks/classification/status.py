"""What the status of an answer means: HTTP, gRPC, SQL, SMTP, AWS (pure)."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fluxora_tasks.classification.hints import pushback_of
from fluxora_tasks.classification.outcome import Outcome

_TRANSIENT_ERRNOS: Final = frozenset(
    {
        errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT, errno.ENOBUFS, errno.EMFILE,
    }
)  # fmt: skip

#: HTTP statuses of a server that does not have what was asked for, and will not have it soon.
_LASTING: Final = frozenset({501, 505})

#: SQLSTATE, whole or its class: connection, resources, shutdown, deadlock, serialization, a lock not to be had.
_TRANSIENT_SQLSTATES: Final = ("08", "53", "57P", "40001", "40P01", "55P03")

#: SQLSTATE of a login that is refused, and of a database that does not exist.
_LASTING_SQLSTATES: Final = ("28", "3D000")

#: MySQL: too many connections, shutdown, lock wait, deadlock, cannot connect, gone away, lost connection.
_TRANSIENT_MYSQL: Final = frozenset({1040, 1053, 1205, 1213, 2002, 2003, 2006, 2013})

#: SQLITE_BUSY and SQLITE_LOCKED.
_TRANSIENT_SQLITE: Final = frozenset({5, 6})

_GRPC: Final[Mapping[str, Outcome]] = {
    "UNAVAILABLE": Outcome.FAILURE_RETRYABLE,
    "DEADLINE_EXCEEDED": Outcome.FAILURE_RETRYABLE,
    "ABORTED": Outcome.FAILURE_RETRYABLE,
    "RESOURCE_EXHAUSTED": Outcome.THROTTLED,
    "CANCELLED": Outcome.IGNORED,
    "INVALID_ARGUMENT": Outcome.BAD_REQUEST,
    "NOT_FOUND": Outcome.BAD_REQUEST,
    "ALREADY_EXISTS": Outcome.BAD_REQUEST,
    "PERMISSION_DENIED": Outcome.BAD_REQUEST,
    "UNAUTHENTICATED": Outcome.BAD_REQUEST,
    "FAILED_PRECONDITION": Outcome.BAD_REQUEST,
    "OUT_OF_RANGE": Outcome.BAD_REQUEST,
}

#: As in the standard retry mode of the AWS SDKs.
_AWS_THROTTLED: Final = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException",
        "TooManyRequestsException", "ProvisionedThroughputExceededException", "TransactionInProgressException",
        "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "RequestThrottled", "SlowDown",
        "PriorRequestNotComplete", "EC2ThrottledException",
    }
)  # fmt: skip
_AWS_TRANSIENT: Final = frozenset({"RequestTimeout", "RequestTimeoutException"})


def of_status(status: Any) -> Outcome | None:
    """What an HTTP status means; ``None`` where it is not a failure status."""
    if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 599:
        return None
    if status == 429:
        return Outcome.THROTTLED
    if status in (408, 425) or status >= 500:
        return Outcome.FAILURE_FATAL if status in _LASTING else Outcome.FAILURE_RETRYABLE
    return Outcome.BAD_REQUEST


def by_status(error: BaseException) -> Outcome | None:
    """By the HTTP status an error or its response carries, whatever library made it."""
    response = getattr(error, "response", None)
    for source in (error, response, getattr(error, "meta", None)):
        for name in ("status_code", "status"):
            outcome = of_status(getattr(source, name, None))
            if outcome is not None:
                return outcome
    return None


def by_code(error: BaseException) -> Outcome | None:
    """By an HTTP status under the name ``code``, which elsewhere means anything."""
    return of_status(getattr(error, "code", None))


def by_errno(error: BaseException) -> Outcome | None:
    """By the number of the operating system's error."""
    return Outcome.FAILURE_RETRYABLE if getattr(error, "errno", None) in _TRANSIENT_ERRNOS else None


def by_database(error: BaseException) -> Outcome | None:
    """By what a database says: SQLSTATE, or MySQL's or SQLite's number; a lost connection is worth another attempt."""
    if getattr(error, "connection_invalidated", False):
        return Outcome.FAILURE_RETRYABLE
    for source in (error, getattr(error, "orig", None)):
        for outcome in _of_driver(source):
            if outcome is not None:
                return outcome
    return None


def by_database_operation(error: BaseException) -> Outcome:
    """As ``by_database``; an operational error that says nothing is worth another attempt."""
    return by_database(error) or Outcome.FAILURE_RETRYABLE


def by_grpc(error: BaseException) -> Outcome | None:
    """By gRPC's status code; a negative pushback means that the server wants no further attempt."""
    pushback = pushback_of(error)
    if pushback is not None and pushback < 0:
        return Outcome.FAILURE_FATAL
    code = getattr(error, "code", None)
    return _GRPC.get(getattr(code() if callable(code) else code, "name", ""))


def by_aws(error: BaseException) -> Outcome | None:
    """By the code of an AWS service, then by the status of its answer."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    if code in _AWS_THROTTLED:
        return Outcome.THROTTLED
    if code in _AWS_TRANSIENT:
        return Outcome.FAILURE_RETRYABLE
    return of_status(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))


def by_smtp(error: BaseException) -> Outcome | None:
    """By the code of a mail server: 4xx passes by itself, 5xx is about this message."""
    code = getattr(error, "smtp_code", 0)
    if 400 <= code < 500:
        return Outcome.FAILURE_RETRYABLE
    return Outcome.BAD_REQUEST if code >= 500 else None


def if_nothing_is_carried(error: BaseException) -> Outcome | None:
    """Celery's ``Retry`` without an error behind it is no failure."""
    carried = isinstance(getattr(error, "exc", None), BaseException) or error.__cause__ is not None
    return None if carried else Outcome.IGNORED


def _of_driver(error: Any) -> Iterator[Outcome | None]:
    yield _of_sqlstate(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None))
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        yield Outcome.FAILURE_RETRYABLE if code & 0xFF in _TRANSIENT_SQLITE else Outcome.FAILURE_FATAL
    if isinstance(error, Exception) and type(error).__module__.startswith(("pymysql", "MySQLdb", "mysql")):
        yield Outcome.FAILURE_RETRYABLE if _mysql_number(error) in _TRANSIENT_MYSQL else None


def _of_sqlstate(state: Any) -> Outcome | None:
    if not isinstance(state, str):
        return None
    if state.startswith(_TRANSIENT_SQLSTATES):
        return Outcome.FAILURE_RETRYABLE
    return Outcome.FAILURE_FATAL if state.startswith(_LASTING_SQLSTATES) else None


def _mysql_number(error: Exception) -> Any:
    return getattr(error, "errno", None) or next(iter(error.args), None)
