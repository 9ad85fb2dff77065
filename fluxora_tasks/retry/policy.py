"""RetryPolicy: what may be tried again, how often and how long (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.backoff import Jitter, ceiling, jittered

ErrorTypes = tuple[type[BaseException], ...]

_JITTERS: dict[Any, Jitter] = {True: "full", False: "none", None: "none"}


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is made again; checked when built.

    Attributes:
        max_attempts: Runs of the body, the first included; from 1. ``None``: no limit.
        base_delay: Seconds; ceiling of the first delay; from 0.
        max_delay: Seconds; no delay is longer, not even one the other side asked for.
        backoff_factor: Growth of the ceiling per attempt; from 1.
        jitter: ``True`` or "full" · "equal" · "decorrelated" · ``False`` or "none".
        retry_on: Exceptions worth another attempt, beside those the classifier knows as transient.
        give_up_on: Exceptions that never are; wins over ``retry_on``.
        max_elapsed: Seconds from the first attempt after which no further attempt is started. ``None``: no limit.
    """

    max_attempts: int | None = 4
    base_delay: float = 2.0
    max_delay: float = 600.0
    backoff_factor: float = 2.0
    jitter: bool | Jitter = "full"
    retry_on: ErrorTypes | type[BaseException] | Sequence[type[BaseException]] = ()
    give_up_on: ErrorTypes | type[BaseException] | Sequence[type[BaseException]] = ()
    max_elapsed: float | None = None

    def __post_init__(self) -> None:
        for name in ("base_delay", "max_delay", "max_elapsed"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        object.__setattr__(self, "jitter", _jitter(self.jitter))
        for name in ("retry_on", "give_up_on"):
            object.__setattr__(self, name, error_types(name, getattr(self, name)))
        if self.max_attempts is not None and (
            not isinstance(self.max_attempts, int) or isinstance(self.max_attempts, bool) or self.max_attempts < 1
        ):
            raise ConfigurationError(f"max_attempts is a whole number from 1, or None; got {self.max_attempts!r}")
        if not isinstance(self.backoff_factor, (int, float)) or self.backoff_factor < 1:
            raise ConfigurationError(f"backoff_factor is a number from 1; got {self.backoff_factor!r}")

    def delay_after(self, attempt: int, random: Random, previous: float | None = None) -> float:
        """Seconds to wait after the given attempt failed (attempts count from 1)."""
        limit = ceiling(attempt, self.base_delay, self.backoff_factor, self.max_delay)
        kind: Jitter = self.jitter  # type: ignore[assignment]  # narrowed in __post_init__
        return jittered(limit, self.base_delay, self.max_delay, previous, kind, random)

    def preview(self, seed: int | str = 0, n: int | None = None) -> list[float]:
        """The delays of one message whose random source has this seed: n of them, or as many as the policy allows.

        Tasks seed with their task id, so ``preview(task_id)`` is the schedule that task will follow.
        """
        count = n if n is not None else (self.max_attempts or 11) - 1
        delays: list[float] = []
        for attempt in range(1, count + 1):
            delays.append(self.delay_after(attempt, seeded(seed, attempt), delays[-1] if delays else None))
        return delays


def seeded(seed: int | str, attempt: int) -> Random:
    """The random source of one attempt: the same for the same seed, different between attempts."""
    return Random(f"{seed}/{attempt}")  # noqa: S311 - jitter, not a secret


def error_types(name: str, value: Any) -> ErrorTypes:
    """One exception type, or several, as a tuple.

    Raises:
        ConfigurationError: something in it is not an exception type.
    """
    types = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)
    for item in types:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ConfigurationError(f"{name} takes exception types; got {item!r}")
    return types


def _seconds(name: str, value: Any) -> float | None:
    if value is None and name == "max_elapsed":
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"{name} is a number of seconds from 0; got {value!r}")
    return float(seconds)


def _jitter(value: Any) -> Jitter:
    if isinstance(value, bool) or value is None:
        return _JITTERS[value]
    if value in ("full", "equal", "decorrelated", "none"):
        return value  # type: ignore[no-any-return]
    raise ConfigurationError(f"jitter is True, False, 'full', 'equal', 'decorrelated' or 'none'; got {value!r}")
