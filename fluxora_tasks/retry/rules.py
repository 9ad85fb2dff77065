"""RetryRule: other numbers for some errors (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from fluxora_tasks.classification.causes import causes_of, leaves_of
from fluxora_tasks.retry.backoff import Jitter, jitter_of
from fluxora_tasks.retry.checks import ErrorTypes, check_attempts, check_factor, error_types, seconds


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """What a policy does differently for some errors, which it makes worth another attempt; checked when built.

    A field that is ``None`` stays as the policy has it.

    Attributes:
        on: Exceptions it is about; also where one of them is what an error was raised from, or while handling.
        max_attempts: Runs of the body, those that failed otherwise included; from 1. 1: no retry for these.
        base_delay: Seconds; ceiling of the first delay.
        max_delay: Seconds; no delay is longer.
        backoff_factor: Growth of the ceiling per attempt; from 1.
        jitter: As in ``RetryPolicy``.
    """

    on: ErrorTypes | type[BaseException] | Sequence[type[BaseException]]
    max_attempts: int | None = None
    base_delay: float | None = None
    max_delay: float | None = None
    backoff_factor: float | None = None
    jitter: bool | Jitter | float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", error_types("on", self.on))
        for name in ("base_delay", "max_delay"):
            object.__setattr__(self, name, seconds(name, getattr(self, name), optional=True))
        check_attempts(self.max_attempts)
        if self.backoff_factor is not None:
            check_factor(self.backoff_factor)
        if self.jitter is not None:
            object.__setattr__(self, "jitter", jitter_of(self.jitter))

    @property
    def changes(self) -> Mapping[str, Any]:
        """The fields of a policy that this rule replaces."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "on"}
        return {name: value for name, value in values.items() if value is not None}


def rule_for(rules: Sequence[RetryRule], error: BaseException) -> RetryRule | None:
    """
    The rule about an error, if there is one.

    The error, then what it was raised from or while handling is looked at, at most five; of a group its errors. Among
    the rules that fit, the one whose type is a subclass of the others' holds, else the one nearest to the error.
    """
    found: tuple[type, RetryRule] | None = None
    for cls, rule in _matches(rules, error):
        if found is None or (cls is not found[0] and issubclass(cls, found[0])):
            found = cls, rule
    return found[1] if found else None


def _matches(rules: Sequence[RetryRule], error: BaseException) -> Iterator[tuple[type, RetryRule]]:
    """Types that rules name and the errors are of, the most specific of each error first, nearest error first."""
    named = {cls: rule for rule in reversed(rules) for cls in rule.on}  # type: ignore[union-attr]  # a tuple by now
    for cause in causes_of(error, implicit=True):
        for leaf in (cause, *leaves_of(cause)):
            yield from ((cls, named[cls]) for cls in type(leaf).__mro__ if cls in named)
