"""Options of one task, checked when it is declared (pure but for reading class attributes)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.policy import RetryPolicy


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """
    Refuse options of ours that cannot work.

    Raises:
        ConfigurationError: one line with the task, the option and what it takes.
    """
    policy = options.get("retry_policy")
    if policy is not None and not isinstance(policy, RetryPolicy):
        raise ConfigurationError(f"task {name}: retry_policy takes a RetryPolicy; got {policy!r}")
    on_dead = options.get("on_dead")
    if on_dead not in (None, "report", "park"):
        raise ConfigurationError(f"task {name}: on_dead takes 'report' or 'park'; got {on_dead!r}")
    dead_letter = options.get("dead_letter")
    if dead_letter is not None and not isinstance(dead_letter, bool):
        raise ConfigurationError(f"task {name}: dead_letter takes True or False; got {dead_letter!r}")


def policy_of(task: Any, default: RetryPolicy) -> RetryPolicy:
    """The policy in force: the task's own; else the default, bounded by a ``max_retries`` the task declares itself."""
    own: RetryPolicy | None = getattr(task, "retry_policy", None)
    if own is not None:
        return own
    if not _declares(task, "max_retries"):
        return default
    retries = task.max_retries
    return replace(default, max_attempts=None if retries is None else max(0, retries) + 1)


def _declares(task: Any, option: str) -> bool:
    """Whether an option was set on the task or a base of it, rather than by Celery's own Task."""
    if option in vars(task):
        return True
    return any(
        option in vars(cls)
        for cls in type(task).__mro__
        if not cls.__module__.startswith(("celery.", "fluxora_tasks."))
    )
