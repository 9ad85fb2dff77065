"""One guarded operation: when its fallback is used, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from fluxora_tasks.classification import Outcome, causes_of, classify, qualified_name
from fluxora_tasks.errors import CircuitBreakerError, NoFallbackValue
from fluxora_tasks.fallback.activity import Activity
from fluxora_tasks.fallback.call import Call, argument_key
from fluxora_tasks.fallback.chain import Exhausted, Found, first_answer, first_answer_async, learners_of, steps_of
from fluxora_tasks.fallback.outcome import (
    MANUAL,
    REFUSED,
    FallbackOutcome,
    activations,
    count_activation,
    forget_outcome,
    remember,
)
from fluxora_tasks.fallback.registry import toggles
from fluxora_tasks.fallback.step import Step
from fluxora_tasks.fallback.strategies import FallbackStrategy, Stopped
from fluxora_tasks.fallback.toggles import Mode, is_among
from fluxora_tasks.fallback.view import Rule

logger = logging.getLogger(__name__)

#: Base of what a Celery task raises to say something other than "failed"; named, so that Celery is not imported.
_CELERYS_OWN: Final = "celery.exceptions.TaskPredicate"

_UNTOUCHED: Final = frozenset({Outcome.BAD_REQUEST, Outcome.IGNORED})


class Fallback:
    """The fallback of one operation.

    Args:
        operation: Its name, for operators, events and last good values.
        strategy: What gives the value.
        classifier: Tells what a failure means.
    """

    def __init__(
        self,
        operation: str,
        strategy: FallbackStrategy | Step,
        classifier: Callable[[BaseException], Outcome] = classify,
    ) -> None:
        self.operation, self.strategy = operation, strategy
        self.steps = steps_of(strategy)
        self.activity = Activity(operation)
        self._classify = classifier
        self._learners = tuple(learners_of(self.steps))
        self._primary = FallbackOutcome(operation=operation)
        self._random = Random()  # noqa: S311 - a share of calls, not a secret

    def mode(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Mode:
        """How a call with these arguments uses the fallback; a percentage is decided by the arguments. No I/O."""
        rule = toggles().mode(self.operation)
        return Mode.AUTO if rule is None else self._mode_under(rule, args, kwargs or {})

    def applies_to(self, error: BaseException) -> bool:
        """Whether a failure leads to the fallback: not where the call itself was wrong, or did not fail."""
        if any(qualified_name(cls) == _CELERYS_OWN for cls in type(error).__mro__):
            return False
        outcome = self._classify(error)
        return outcome not in _UNTOUCHED or (outcome is Outcome.IGNORED and refusal_behind(error) is not None)

    def run(
        self, error: Exception | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], attempts: int | None = None
    ) -> FallbackOutcome:
        """
        The value of the first step that has one.

        Args:
            error: The failure; ``None``: an operator asked for the fallback, the call was not made.
            attempts: Runs of the call so far; by default one, or none where it was not made.

        Raises:
            Exception: ``error`` itself, with a note on each step, where no step had a value.
            NoFallbackValue: likewise, without an error.
        """
        try:
            found = first_answer(self.steps, Call(self.operation, args, kwargs, error))
        except (Exhausted, Stopped) as exc:
            ended = exc
        else:
            return self._given(found, error, attempts)
        raise self._instead(error, ended)  # out of the handler, which would become the context of the call's own error

    async def run_async(
        self, error: Exception | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], attempts: int | None = None
    ) -> FallbackOutcome:
        """``run`` for async calls; never blocks the loop."""
        try:
            found = await first_answer_async(self.steps, Call(self.operation, args, kwargs, error))
        except (Exhausted, Stopped) as exc:
            ended = exc
        else:
            return self._given(found, error, attempts)
        raise self._instead(error, ended)

    def succeeded(self, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], since: int | None = None) -> None:
        """
        The call gave a result of its own.

        Args:
            since: ``activations()`` before the call. A result made with the help of another fallback is not learnt.
        """
        remember(self._primary)
        if self.activity.active:
            self.activity.succeeded()
        if self._learners and (since is None or since == activations()):
            self._learn(value, args, kwargs)

    def _mode_under(self, rule: Rule, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mode:
        if rule.percent is None:
            return Mode(rule.value)
        try:
            chosen = is_among(self.operation, argument_key(args, kwargs), rule.percent)
        except TypeError:
            chosen = self._random.random() * 100 < rule.percent
        return Mode.ALWAYS if chosen else Mode.AUTO

    def _given(self, found: Found, error: Exception | None, attempts: int | None) -> FallbackOutcome:
        answer, failed = found
        refusal = refusal_behind(error) if error is not None else None
        outcome = FallbackOutcome(
            value=answer.value,
            operation=self.operation,
            degraded=True,
            source=answer.source,
            age=answer.age,
            stale=answer.stale,
            cause=MANUAL if error is None else REFUSED if refusal is not None else str(self._classify(error)),
            error="" if error is None else qualified_name(type(error)),
            attempts=attempts if attempts is not None else int(error is not None and refusal is None),
            breaker=refusal.name if refusal is not None else "",
            failed=failed,
        )
        remember(outcome)
        count_activation()
        self.activity.used(outcome.source, outcome.cause)
        return outcome

    def _instead(self, error: Exception | None, ended: Exhausted | Stopped) -> Exception:
        """What is raised where no step had a value."""
        forget_outcome()
        if isinstance(ended, Stopped) and ended.error is not None:
            return _fresh(ended.error, error)
        if error is None:
            return NoFallbackValue(f"{self.operation}: {ended}")
        for note in ended.failed if isinstance(ended, Exhausted) else ():
            error.add_note(f"fallback without a value: {note}")
        return error

    def _learn(self, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for strategy in self._learners:
            try:
                strategy.succeeded(self.operation, value, args, kwargs)
            except Exception:
                logger.exception("a fallback could not take note of a result: %s", self.operation)


def refusal_behind(error: BaseException) -> CircuitBreakerError | None:
    """The refusal of an open circuit that an error is, or was raised from."""
    return next((cause for cause in causes_of(error) if isinstance(cause, CircuitBreakerError)), None)


def _fresh(error: Exception | type[Exception], cause: Exception | None) -> Exception:
    """An error that was given once and is raised many times."""
    raised = error() if isinstance(error, type) else error.with_traceback(None)
    raised.__cause__ = cause
    return raised
