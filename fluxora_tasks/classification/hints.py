"""How long the other side asked us to wait (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from fluxora_tasks.classification.causes import causes_of, leaves_of


def retry_after_of(error: BaseException, now: datetime) -> float | None:
    """
    Seconds the other side asked us to wait, told by the error or by what it was raised from.

    Read from ``error.retry_after``, the Retry-After header of the error or its response (httpx, requests, aiohttp,
    urllib, botocore), or gRPC's ``grpc-retry-pushback-ms``. Both header forms are read: seconds and HTTP date
    (RFC 9110, 10.2.3). ``None`` where nothing was asked for, or something unreadable, or a moment that has passed.
    Of a group of errors the longest wait.
    """
    for cause in causes_of(error):
        waits = [wait for leaf in leaves_of(cause) if (wait := _own(leaf, now)) is not None]
        if waits:
            return max(waits)
    return None


def pushback_of(error: BaseException) -> float | None:
    """gRPC's own hint in seconds; negative: do not try again. ``None``: no hint."""
    trailing = getattr(error, "trailing_metadata", None)
    for key, value in (trailing() if callable(trailing) else None) or ():
        if key == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0  # what cannot be read means "do not", says gRFC A6
    return None


def _own(error: BaseException, now: datetime) -> float | None:
    try:
        return next((seconds for given in _given(error) if (seconds := _as_seconds(given, now)) is not None), None)
    except Exception:  # noqa: BLE001 - a foreign error may raise on any attribute; then it asked for nothing
        return None


def _given(error: BaseException) -> Iterator[Any]:
    """Everything that may be a wish, the most direct one first."""
    yield getattr(error, "retry_after", None)
    response = getattr(error, "response", None)
    for source in (error, response, getattr(error, "meta", None)):
        yield _header(getattr(source, "headers", None))
    if isinstance(response, Mapping):
        yield _header(response.get("ResponseMetadata", {}).get("HTTPHeaders"))
    yield pushback_of(error)


def _header(headers: Any) -> Any:
    """The header, also from a mapping that tells upper from lower case."""
    if headers is None or not hasattr(headers, "get"):
        return None
    value = headers.get("Retry-After")
    return headers.get("retry-after") if value is None else value


def _as_seconds(given: Any, now: datetime) -> float | None:
    if given is None or isinstance(given, bool):
        return None
    if isinstance(given, timedelta):
        seconds = given.total_seconds()
    else:
        try:
            seconds = float(given)
        except (TypeError, ValueError):
            seconds = _until(given, now)
    return seconds if 0 < seconds < float("inf") else None


def _until(given: Any, now: datetime) -> float:
    """Seconds until a moment; 0 where it is none."""
    try:
        moment = given if isinstance(given, datetime) else parsedate_to_datetime(str(given))
    except (TypeError, ValueError):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
