"""Outcome: the classes of endings every part shares, and the names of error types (pure)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How one attempt ended, in the words every part shares."""

    SUCCESS = "success"
    FAILURE_RETRYABLE = "failure_retryable"
    FAILURE_FATAL = "failure_fatal"
    THROTTLED = "throttled"
    BAD_REQUEST = "bad_request"
    IGNORED = "ignored"


#: What is worth another attempt.
REPEATABLE: Final = frozenset({Outcome.FAILURE_RETRYABLE, Outcome.THROTTLED})

#: What an error means without a doubt, or a predicate that may have no opinion.
Rule = Outcome | Callable[[BaseException], "Outcome | None"]

#: Public modules whose classes say they come from a private one.
_PUBLIC_MODULES = {
    "httpx._exceptions": "httpx",
    "psycopg.errors": "psycopg",
    "billiard.einfo": "billiard.exceptions",
}


def qualified_name(cls: type) -> str:
    """``module.Class``, under the public module where a library hides the real one."""
    module = cls.__module__
    return f"{_PUBLIC_MODULES.get(module, module)}.{cls.__qualname__}"
