"""RetryPolicy: what may be tried again, how often and how long (pure)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ParamSpec, TypeVar

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.attempts import Attempts
from fluxora_tasks.retry.backoff import Jitter, ceiling, jitter_of, jittered
from fluxora_tasks.retry.budget import Budget
from fluxora_tasks.retry.checks import ErrorTypes, check_attempts, check_factor, error_types, seconds
from fluxora_tasks.retry.rules import RetryRule, rule_for
from fluxora_tasks.retry.running import Retrying

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is made again; checked when built. Tasks, ``retry`` and the methods here use it alike.

    Attributes:
        max_attempts: Runs of the body, the first included; from 1. ``None``: no limit.
        base_delay: Seconds; ceiling of the first delay; from 0.
        max_delay: Seconds; no delay is longer, and a longer one that the other side asks for is not waited for.
        backoff_factor: Growth of the ceiling per attempt; from 1.
        jitter: ``True`` or "full" · "equal" · "decorrelated" · ``False`` or "none" · a share p from 0 to 1: the delay
            is between 1 - p and 1 times the ceiling.
        retry_on: Exceptions worth another attempt, beside those the classifier knows as transient; also where an error
            was raised from one of them. Of a group of errors each one must be.
        give_up_on: Exceptions that never are; also where an error was raised from one of them, or is a group with one.
            Wins over ``retry_on``.
        max_elapsed: Seconds from the first attempt after which no further attempt is started. ``None``: no limit.
        rules: Other numbers for some errors, see ``RetryRule``.
        budget: Allowance of retries. ``None``: in-process retries have one of their own per function, of this process;
            tasks have none. ``False``: none.
    """

    max_attempts: int | None = 4
    base_delay: float = 2.0
    max_delay: float = 600.0
    backoff_factor: float = 2.0
    jitter: bool | Jitter | float = "full"
    retry_on: ErrorTypes | type[BaseException] | Sequence[type[BaseException]] = ()
    give_up_on: ErrorTypes | type[BaseException] | Sequence[type[BaseException]] = ()
    max_elapsed: float | None = None
    rules: Sequence[RetryRule] = ()
    budget: Budget | bool | None = None

    def __post_init__(self) -> None:
        for name in ("base_delay", "max_delay", "max_elapsed"):
            object.__setattr__(self, name, seconds(name, getattr(self, name), optional=name == "max_elapsed"))
        for name in ("retry_on", "give_up_on"):
            object.__setattr__(self, name, error_types(name, getattr(self, name)))
        object.__setattr__(self, "jitter", jitter_of(self.jitter))
        object.__setattr__(self, "rules", _rules(self.rules))
        check_attempts(self.max_attempts)
        check_factor(self.backoff_factor)
        if not (self.budget is None or isinstance(self.budget, (bool, Budget))):
            raise ConfigurationError(f"budget takes a RetryBudget, None or False; got {self.budget!r}")

    def delay_after(self, attempt: int, random: Random, previous: float | None = None) -> float:
        """Seconds to wait after the given attempt failed (attempts count from 1)."""
        limit = ceiling(attempt, self.base_delay, self.backoff_factor, self.max_delay)
        kind: Jitter | float = self.jitter  # a bool is converted in __post_init__
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

    def delay_before(self, seed: int | str, attempt: int) -> float | None:
        """What the schedule of a seed waits before an attempt, where the next delay depends on it; else ``None``."""
        if self.jitter != "decorrelated" or attempt < 2:
            return None
        return self.preview(seed, attempt - 1)[-1]

    def under(self, error: BaseException) -> RetryPolicy:
        """The policy for one error: this one, with the numbers of the rule about it if there is one."""
        rule = rule_for(self.rules, error) if self.rules else None
        return replace(self, rules=(), **rule.changes) if rule else self

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function under this policy."""
        return Retrying(self).call(function, *args, **kwargs)

    async def acall(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an async function under this policy."""
        return await Retrying(self).acall(function, *args, **kwargs)

    def attempts(self, name: str = "") -> Attempts:
        """
        The attempts of a block of code, for a loop: ``for attempt in policy.attempts(): with attempt: ...``.

        In async code ``async for``, the ``with`` as it is.

        Args:
            name: What is attempted; for events, and for a budget of its own.
        """
        return Retrying(self).attempts(name)


def seeded(seed: int | str, attempt: int) -> Random:
    """The random source of one attempt: the same for the same seed, different between attempts."""
    return Random(f"{seed}/{attempt}")  # noqa: S311 - jitter, not a secret


def _rules(value: Sequence[RetryRule]) -> tuple[RetryRule, ...]:
    rules = (value,) if isinstance(value, RetryRule) else tuple(value)
    for rule in rules:
        if not isinstance(rule, RetryRule):
            raise ConfigurationError(f"rules takes RetryRule objects; got {rule!r}")
    return rules
