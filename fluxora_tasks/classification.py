"""What a failure means, for breaker, retry, fallback and capture alike (pure).

The table is data: qualified class names, so that no library is imported to recognise its errors.
The most specific class by MRO decides; an error without a row takes the class of its explicit cause.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from fluxora_tasks.errors import NonRetryableError, RetryableError

#: How many explicit causes are followed.
_MAX_CAUSES = 5


class Outcome(StrEnum):
    """How one attempt ended, in the words every part shares."""

    SUCCESS = "success"
    FAILURE_RETRYABLE = "failure_retryable"
    FAILURE_FATAL = "failure_fatal"
    THROTTLED = "throttled"
    BAD_REQUEST = "bad_request"
    IGNORED = "ignored"


Rule = Outcome | Callable[[BaseException], "Outcome | None"]

_TRANSIENT_ERRNOS = frozenset(
    {
        errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT, errno.ENOBUFS, errno.EMFILE,
    }
)  # fmt: skip


def of_status(status: Any) -> Outcome | None:
    """What an HTTP status means; ``None`` where it is not a failure status."""
    if not isinstance(status, int) or status < 400:
        return None
    if status == 429:
        return Outcome.THROTTLED
    if status in (408, 425) or status >= 500:
        return Outcome.FAILURE_FATAL if status in (501, 505) else Outcome.FAILURE_RETRYABLE
    return Outcome.BAD_REQUEST


def _by_errno(error: BaseException) -> Outcome | None:
    return Outcome.FAILURE_RETRYABLE if getattr(error, "errno", None) in _TRANSIENT_ERRNOS else None


def _by_code(error: BaseException) -> Outcome | None:
    return of_status(getattr(error, "code", None))


def _by_response(error: BaseException) -> Outcome | None:
    return of_status(getattr(getattr(error, "response", None), "status_code", None))


def _if_disconnected(error: BaseException) -> Outcome | None:
    return Outcome.FAILURE_RETRYABLE if getattr(error, "connection_invalidated", False) else None


#: Qualified class name -> what it means, or a predicate that may have no opinion.
DEFAULT_RULES: Mapping[str, Rule] = {
    "builtins.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "builtins.TimeoutError": Outcome.FAILURE_RETRYABLE,
    "builtins.InterruptedError": Outcome.FAILURE_RETRYABLE,
    "builtins.OSError": _by_errno,
    "socket.gaierror": Outcome.FAILURE_RETRYABLE,
    "urllib.error.URLError": Outcome.FAILURE_RETRYABLE,
    "urllib.error.HTTPError": _by_code,
    "http.client.HTTPException": Outcome.FAILURE_RETRYABLE,
    "http.client.InvalidURL": Outcome.FAILURE_FATAL,
    "requests.exceptions.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "requests.exceptions.Timeout": Outcome.FAILURE_RETRYABLE,
    "requests.exceptions.ChunkedEncodingError": Outcome.FAILURE_RETRYABLE,
    "requests.exceptions.HTTPError": _by_response,
    "httpx.TransportError": Outcome.FAILURE_RETRYABLE,
    "httpx.UnsupportedProtocol": Outcome.FAILURE_FATAL,
    "httpx.HTTPStatusError": _by_response,
    "redis.exceptions.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "redis.exceptions.TimeoutError": Outcome.FAILURE_RETRYABLE,
    "redis.exceptions.BusyLoadingError": Outcome.FAILURE_RETRYABLE,
    "redis.exceptions.AuthenticationError": Outcome.FAILURE_FATAL,
    "kombu.exceptions.OperationalError": Outcome.FAILURE_RETRYABLE,
    "sqlalchemy.exc.OperationalError": Outcome.FAILURE_RETRYABLE,
    "sqlalchemy.exc.TimeoutError": Outcome.FAILURE_RETRYABLE,
    "sqlalchemy.exc.DBAPIError": _if_disconnected,
    "psycopg.OperationalError": Outcome.FAILURE_RETRYABLE,
    "celery.exceptions.Ignore": Outcome.IGNORED,
    "celery.exceptions.Reject": Outcome.IGNORED,
    "billiard.exceptions.SoftTimeLimitExceeded": Outcome.FAILURE_FATAL,
}

#: Public modules whose classes say they come from a private one.
_PUBLIC_MODULES = {
    "httpx._exceptions": "httpx",
    "psycopg.errors": "psycopg",
    "billiard.einfo": "billiard.exceptions",
}


class Classifier:
    """The table, with rows of the application on top.

    Args:
        rules: Extra rows; a qualified class name or an exception type -> outcome or predicate.
    """

    def __init__(self, rules: Mapping[str | type[BaseException], Rule] | None = None) -> None:
        extra = {(qualified_name(key) if isinstance(key, type) else key): rule for key, rule in (rules or {}).items()}
        self._rules: Mapping[str, Rule] = {**DEFAULT_RULES, **extra}

    def __call__(self, error: BaseException) -> Outcome:
        """The outcome class of an error; FAILURE_FATAL where nothing is known about it."""
        current: BaseException | None = error
        for _ in range(_MAX_CAUSES):
            if current is None:
                break
            outcome = self._own(current)
            if outcome is not None:
                return outcome
            current = current.__cause__
        return Outcome.FAILURE_FATAL

    def _own(self, error: BaseException) -> Outcome | None:
        if not isinstance(error, Exception):
            return Outcome.IGNORED
        if isinstance(error, NonRetryableError):
            return Outcome.FAILURE_FATAL
        if isinstance(error, RetryableError):
            return Outcome.FAILURE_RETRYABLE
        for cls in type(error).__mro__:
            rule = self._rules.get(qualified_name(cls))
            if rule is None:
                continue
            outcome = rule if isinstance(rule, Outcome) else _asked(rule, error)
            if outcome is not None:
                return outcome
        return None


def _asked(rule: Callable[[BaseException], Outcome | None], error: BaseException) -> Outcome | None:
    try:
        return rule(error)
    except Exception:  # noqa: BLE001 - a predicate that raises has no opinion
        return None


def qualified_name(cls: type) -> str:
    """``module.Class``, under the public module where a library hides the real one."""
    module = cls.__module__
    return f"{_PUBLIC_MODULES.get(module, module)}.{cls.__qualname__}"


classify = Classifier()


def retry_after_of(error: BaseException, now: datetime) -> float | None:
    """
    Seconds the other side asked us to wait: ``error.retry_after``, or the Retry-After header of its response.

    ``None`` where it asked for nothing, for something unreadable, or for a moment that has passed.
    Both header forms are read: seconds and HTTP date (RFC 9110, 10.2.3).
    """
    given = getattr(error, "retry_after", None)
    if given is None:
        for source in (error, getattr(error, "response", None)):
            headers = getattr(source, "headers", None)
            if headers is not None and hasattr(headers, "get"):
                given = headers.get("Retry-After")
                break
    return _as_seconds(given, now)


def _as_seconds(given: Any, now: datetime) -> float | None:
    if isinstance(given, bool) or given is None:
        return None
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        try:
            moment = parsedate_to_datetime(str(given))
        except (TypeError, ValueError):
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return seconds if 0 < seconds < float("inf") else None
