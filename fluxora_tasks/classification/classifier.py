"""Classifier: the table asked about one error (pure)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from fluxora_tasks.classification.causes import causes_of, leaves_of
from fluxora_tasks.classification.outcome import Outcome, Rule, qualified_name
from fluxora_tasks.classification.table import DEFAULT_RULES
from fluxora_tasks.errors import NonRetryableError, RefusedError, RetryableError

logger = logging.getLogger(__name__)

Predicate = Callable[[BaseException], "Outcome | None"]

#: Rows: a qualified class name or an exception type -> what it means.
Rows = Mapping[str, Rule] | Mapping[type[BaseException], Rule] | Mapping[str | type[BaseException], Rule]

#: Of several opinions about one error the first in this order holds: ignore, never again, throttled, again.
_PRECEDENCE: Final = (
    Outcome.IGNORED,
    Outcome.FAILURE_FATAL,
    Outcome.BAD_REQUEST,
    Outcome.THROTTLED,
    Outcome.FAILURE_RETRYABLE,
    Outcome.SUCCESS,
)

#: An error of one of these means that, whatever else it inherits from; rows of their subclasses still count.
_FAMILIES: Final = (RefusedError, NonRetryableError, RetryableError)


class Classifier:
    """The table, with rows of the application on top.

    Predicates are asked first, then the most specific class by MRO that has a row; an error of which neither knows
    anything is what its explicit cause is. What is not an ``Exception`` is IGNORED; a group is what its errors are
    together; what nobody knows is FAILURE_FATAL. A predicate that raises is logged once and has no opinion.

    Args:
        rules: Extra rows; a qualified class name or an exception type -> outcome or predicate.
        predicates: Asked about every error; of several opinions the strictest holds.
    """

    def __init__(self, rules: Rows | None = None, predicates: Sequence[Predicate] = ()) -> None:
        self._rules: Mapping[str, Rule] = {**DEFAULT_RULES, **_by_name(rules or {})}
        self._predicates = tuple(predicates)
        self._complained: set[int] = set()

    def with_rules(self, rules: Rows, predicates: Sequence[Predicate] = ()) -> Classifier:
        """Another classifier: this one with more rows and predicates, which win over its own."""
        return Classifier({**self._rules, **_by_name(rules)}, (*predicates, *self._predicates))

    def __call__(self, error: BaseException) -> Outcome:
        """The outcome class of an error; FAILURE_FATAL where nothing is known about it."""
        for cause in causes_of(error):
            outcome = self._of(cause)
            if outcome is not None:
                return outcome
        return Outcome.FAILURE_FATAL

    def _of(self, error: BaseException) -> Outcome | None:
        if not isinstance(error, Exception):
            return Outcome.IGNORED
        outcome = self._by_predicates(error) or self._by_type(error)
        if outcome is None and isinstance(error, BaseExceptionGroup):
            return _together({self(leaf) for leaf in leaves_of(error)})
        return outcome

    def _by_predicates(self, error: Exception) -> Outcome | None:
        opinions = {self._asked(predicate, error) for predicate in self._predicates}
        return next((outcome for outcome in _PRECEDENCE if outcome in opinions), None)

    def _by_type(self, error: Exception) -> Outcome | None:
        family = next((family for family in _FAMILIES if isinstance(error, family)), Exception)
        for cls in type(error).__mro__:
            rule = self._rules.get(qualified_name(cls)) if issubclass(cls, family) else None
            outcome = rule if rule is None or isinstance(rule, Outcome) else self._asked(rule, error)
            if outcome is not None:
                return outcome
        return None

    def _asked(self, predicate: Predicate, error: BaseException) -> Outcome | None:
        try:
            return predicate(error)
        except Exception as failure:  # noqa: BLE001 - a predicate that raises has no opinion
            if id(predicate) not in self._complained:
                self._complained.add(id(predicate))
                logger.warning("a predicate of the classifier raised %s: %r", type(failure).__name__, predicate)
            return None


def _by_name(rules: Rows) -> dict[str, Rule]:
    return {(qualified_name(key) if isinstance(key, type) else key): rule for key, rule in rules.items()}


def _together(outcomes: Iterable[Outcome]) -> Outcome:
    """What errors that happened side by side mean: only what would all pass by itself is worth another attempt."""
    kinds = set(outcomes) - {Outcome.IGNORED}
    if not kinds:
        return Outcome.IGNORED
    if len(kinds) == 1:
        return kinds.pop()
    mild = kinds <= {Outcome.FAILURE_RETRYABLE, Outcome.THROTTLED}
    return Outcome.THROTTLED if mild else Outcome.FAILURE_FATAL


classify = Classifier()
