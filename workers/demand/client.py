"""Asks the demand service for a day, and tells failures that pass from failures that stay.

A connection that fails or takes too long raises what Python raises for it: Fluxora knows those as transient.
"""

from __future__ import annotations

import json
import math
from datetime import date
from http import HTTPStatus
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from fluxora_tasks import NonRetryableError, RetryableError
from workers.demand.records import PERIODS, Profile, period_starts

#: Seconds for an answer.
TIMEOUT: Final = 2.0
#: Demand in MW that England and Wales can have; the record stays well within.
PLAUSIBLE: Final = (10_000.0, 70_000.0)

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

#: The service is a neighbour: no proxy is asked, whatever the environment says.
_opener = build_opener(ProxyHandler({}))


class CorruptedAnswer(NonRetryableError):
    """The service answered, but not with a day of demand; asking again would bring the same."""

    code = "demand.corrupted"


class NotThere(NonRetryableError):
    """The service knows no such region or day."""

    code = "demand.not_there"


def fetch_day(base_url: str, region: str, day: date, timeout: float = TIMEOUT) -> Profile:
    """
    The 48 half-hourly values of a day, in MW.

    Raises:
        RetryableError: the service is busy or broken; carries the Retry-After it gave in seconds.
        OSError: no connection, cut off, or no answer within ``timeout`` seconds.
        NotThere: no such region or day.
        CorruptedAnswer: the body is not what was asked for.
    """
    return parse_day(_asked(base_url, region, f"demand/{day}", timeout), day)


def fetch_recent(base_url: str, region: str, timeout: float = TIMEOUT) -> dict[date, Profile]:
    """
    The latest days the service has, each as 48 half-hourly values in MW.

    Raises:
        CorruptedAnswer: the body is not what was asked for; else as ``fetch_day``.
    """
    body = _asked(base_url, region, "recent", timeout)
    try:
        days = {date.fromisoformat(day): values for day, values in json.loads(body)["days"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptedAnswer(f"the body is not the JSON of recent days ({type(error).__name__})") from error
    return {day: _checked(values, day) for day, values in days.items()}


def _asked(base_url: str, region: str, what: str, timeout: float) -> bytes:
    request = Request(f"{base_url}/v1/regions/{quote(region, safe='')}/{what}")  # noqa: S310  http by design
    try:
        with _opener.open(request, timeout=timeout) as answer:
            body: bytes = answer.read()
    except HTTPError as error:
        with error:
            raise _refusal(error, region, what) from None
    return body


def repair(base_url: str, timeout: float = TIMEOUT) -> list[str]:
    """Have the service put its corrupted days right; names them."""
    request = Request(f"{base_url}/v1/repair", method="POST")  # noqa: S310  http by design
    with _opener.open(request, timeout=timeout) as answer:
        repaired: list[str] = json.load(answer)["repaired"]
    return repaired


def parse_day(body: bytes, day: date) -> Profile:
    """
    Read and check an answer: 48 plausible values, each for its half hour.

    Raises:
        CorruptedAnswer: says what is wrong with it.
    """
    try:
        rows = json.loads(body)["values"]
        starts = [row["period_start"] for row in rows]
        values = [row["demand"] for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptedAnswer(f"{day}: the body is not the JSON of a day ({type(error).__name__})") from error
    checked = _checked(values, day)
    if starts != period_starts(day):
        raise CorruptedAnswer(f"{day}: values for other times than asked for")
    return checked


def _checked(values: Any, day: date) -> Profile:
    count = len(values) if isinstance(values, list) else 0
    if count != PERIODS:
        raise CorruptedAnswer(f"{day}: {count} values instead of {PERIODS}")
    low, high = PLAUSIBLE
    for value in values:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise CorruptedAnswer(f"{day}: {str(value)[:40]} is not a demand in MW")
    return [float(value) for value in values]


def _refusal(error: HTTPError, region: str, what: str) -> Exception:
    if error.code in _PASSING:
        return RetryableError(f"the demand service answered {error.code} {error.reason}", _retry_after(error))
    if error.code == HTTPStatus.NOT_FOUND:
        return NotThere(f"the demand service has nothing for region {region!r}, {what} (404)")
    return NonRetryableError(f"the demand service refused the request: {error.code} {error.reason}")


def _retry_after(error: HTTPError) -> float | None:
    given = str(error.headers.get("Retry-After", ""))
    return float(given) if given.isdecimal() else None
