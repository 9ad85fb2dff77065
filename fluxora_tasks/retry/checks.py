"""Values of retry policies, checked and converted at the border (pure)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fluxora_tasks.errors import ConfigurationError

ErrorTypes = tuple[type[BaseException], ...]


def error_types(name: str, value: Any) -> ErrorTypes:
    """
    One exception type, or several, as a tuple.

    Raises:
        ConfigurationError: something in it is not an exception type.
    """
    types = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)
    for item in types:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ConfigurationError(f"{name} takes exception types; got {item!r}")
    return types


def seconds(name: str, value: Any, optional: bool = False) -> float | None:
    """
    A duration in seconds, from 0.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None and optional:
        return None
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < float("inf"):
        raise ConfigurationError(f"{name} is a number of seconds from 0; got {value!r}")
    return float(number)


def check_attempts(value: Any) -> None:
    """
    Refuse what is no number of attempts.

    Raises:
        ConfigurationError: it is neither a whole number from 1 nor None.
    """
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError(f"max_attempts is a whole number from 1, or None; got {value!r}")


def check_factor(value: Any) -> None:
    """
    Refuse what is no growth.

    Raises:
        ConfigurationError: it is no number from 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < float("inf"):
        raise ConfigurationError(f"backoff_factor is a number from 1; got {value!r}")
