"""Options of one task, checked when it is declared (pure but for reading class attributes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final

from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.fallback import FallbackStrategy, Step
from fluxora_tasks.retry.policy import RetryPolicy

#: Longest ``max_defer``, in seconds: a week.
_LONGEST: Final = 604_800.0

#: How alike a slip and an option are, of 1.
_SLIP: Final = 0.85


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """
    Refuse options of ours that cannot work, and slips of their names where a decorator gives them.

    Raises:
        ConfigurationError: one line with the task, the option and what it takes.
    """
    for option, (accepts, takes) in OPTIONS.items():
        value = options.get(option)
        if value is not None and not accepts(value):
            raise ConfigurationError(f"task {name}: {option} takes {takes}; got {value!r}")
    if options.get("_decorated"):
        _check_names(name, options)


def check_together(name: str, task: type[Any]) -> None:
    """
    Refuse options that need one another; inherited ones count.

    Args:
        task: The task's class.

    Raises:
        ConfigurationError: likewise.
    """
    if task.on_open == "fallback" and task.fallback is None:
        raise ConfigurationError(f"task {name}: on_open='fallback' needs a fallback=")
    if task.pause_queue and len(names_of(task.breaker)) != 1:
        raise ConfigurationError(f"task {name}: pause_queue=True needs breaker= with one name")


def names_of(breaker: Any) -> tuple[str, ...]:
    """The names of circuits that are fixed; empty for none, and for a function of the arguments."""
    if isinstance(breaker, str):
        return (breaker,)
    return tuple(breaker) if isinstance(breaker, (list, tuple)) else ()


def is_name(value: Any) -> bool:
    """Whether a circuit may be called so."""
    try:
        return bool(checked_name(value))
    except ConfigurationError:
        return False


def policy_of(task: Any, default: RetryPolicy) -> RetryPolicy:
    """The policy in force: the task's own; else the default, bounded by a ``max_retries`` the task declares itself."""
    own: RetryPolicy | None = getattr(task, "retry_policy", None)
    if own is not None:
        return own
    if not _declares(task, "max_retries"):
        return default
    retries = task.max_retries
    return replace(default, max_attempts=None if retries is None else max(0, retries) + 1)


def _is_breaker(value: Any) -> bool:
    if isinstance(value, (str, list, tuple)):
        return bool(value) and all(map(is_name, names_of(value)))
    # a circuit is callable, too: as a decorator
    return callable(value) and not hasattr(value, "acquire")


def _is_wait(value: Any) -> bool:
    number = value.total_seconds() if isinstance(value, timedelta) else value
    return isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number <= _LONGEST


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


#: Option -> what it accepts, and that in words.
OPTIONS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "retry_policy": (lambda value: isinstance(value, RetryPolicy), "a RetryPolicy"),
    "dead_letter": (_is_flag, "True or False"),
    "on_dead": (lambda value: value in ("report", "park"), "'report' or 'park'"),
    "breaker": (_is_breaker, "the name of a circuit, several names, or a function of the task's arguments"),
    "on_open": (lambda value: value in ("defer", "fallback", "reject"), "'defer', 'fallback' or 'reject'"),
    "max_defer": (_is_wait, "seconds from 0 to 604800"),
    "pause_queue": (_is_flag, "True or False"),
    "strict_replay": (_is_flag, "True or False"),
    "fallback": (lambda value: isinstance(value, (FallbackStrategy, Step)), "a FallbackStrategy"),
    "fingerprint": (callable, "a function of the task and its exception"),
}


def _check_names(name: str, options: Mapping[str, Any]) -> None:
    for option in options:
        near = get_close_matches(option, OPTIONS, 1, _SLIP) if option not in OPTIONS else []
        if near:
            raise ConfigurationError(f"task {name}: no option is called {option!r}; did you mean {near[0]!r}?")


def _declares(task: Any, option: str) -> bool:
    """Whether an option was set on the task or a base of it, rather than by Celery's own Task."""
    if option in vars(task):
        return True
    return any(
        option in vars(cls)
        for cls in type(task).__mro__
        if not cls.__module__.startswith(("celery.", "fluxora_tasks."))
    )
