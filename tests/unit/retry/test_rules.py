"""RetryRule: other numbers for some errors."""

from __future__ import annotations

from typing import Any

import pytest

from fluxora_tasks import RetryPolicy
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry import Outcome, RetryRule
from fluxora_tasks.retry.decision import outcome_under
from fluxora_tasks.retry.rules import rule_for

BROAD = RetryRule(on=OSError, max_attempts=2)
NARROW = RetryRule(on=(ConnectionError, KeyError), max_attempts=9, base_delay=0.5, jitter=False)
RULES = (BROAD, NARROW)


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__, error.__suppress_context__ = cause, True
    return error


def while_handling(error: Exception, context: Exception) -> Exception:
    error.__context__ = context
    return error


def from_none(error: Exception, context: Exception) -> Exception:
    error.__context__, error.__suppress_context__ = context, True
    return error


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (FileNotFoundError(), BROAD),
        (ConnectionResetError(), NARROW),  # by MRO the nearer class
        (ValueError(), None),
        (raised_from(ValueError(), KeyError()), NARROW),
        (while_handling(ValueError(), KeyError()), NARROW),
        (from_none(ValueError(), KeyError()), None),
        (raised_from(FileNotFoundError(), ConnectionError()), NARROW),  # a subclass wins over what is nearer
        (raised_from(KeyError(), FileNotFoundError()), NARROW),  # unrelated: the nearer one
        (ExceptionGroup("both", [ValueError(), ExceptionGroup("in it", [KeyError()])]), NARROW),
        (raised_from(ValueError(), ExceptionGroup("one", [FileNotFoundError()])), BROAD),
    ],
)
def test_which_rule(error: Exception, rule: RetryRule | None) -> None:
    """The most specific type along the chain, then the nearest."""
    assert rule_for(RULES, error) is rule


def test_only_five_errors_of_a_chain_are_looked_at() -> None:
    """A loop ends, and what is further down does not count."""
    error: Exception = KeyError()
    for _ in range(5):
        error = raised_from(ValueError(), error)
    assert rule_for(RULES, error) is None
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first
    assert rule_for(RULES, first) is None


def test_a_rule_replaces_what_it_names() -> None:
    """Everything else stays as the policy has it; an error without a rule keeps the policy."""
    policy = RetryPolicy(max_attempts=3, max_delay=50, rules=RULES)
    under = policy.under(ConnectionError())
    assert (under.max_attempts, under.base_delay, under.jitter, under.max_delay) == (9, 0.5, "none", 50)
    assert policy.under(ValueError()) is policy


def test_a_rule_makes_an_error_worth_another_attempt() -> None:
    """As ``retry_on`` does; ``give_up_on`` still wins, and an implicit context only changes numbers."""
    policy = RetryPolicy(rules=RULES)
    assert outcome_under(policy, KeyError(), Outcome.FAILURE_FATAL) is Outcome.FAILURE_RETRYABLE
    assert outcome_under(policy, while_handling(ValueError(), KeyError()), Outcome.FAILURE_FATAL) is (
        Outcome.FAILURE_FATAL
    )
    strict = RetryPolicy(rules=RULES, give_up_on=LookupError)
    assert outcome_under(strict, KeyError(), Outcome.FAILURE_FATAL) is Outcome.FAILURE_FATAL


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": "KeyError"},
        {"max_attempts": 0},
        {"base_delay": -1},
        {"max_delay": "long"},
        {"backoff_factor": 0.1},
        {"jitter": 2},
    ],
)
def test_a_wrong_rule_is_refused_when_declared(wrong: dict[str, Any]) -> None:
    """The message names the field."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryRule(**{"on": KeyError, **wrong})


def test_only_rules_are_rules() -> None:
    """A policy takes one rule, or several."""
    assert RetryPolicy(rules=BROAD).rules == (BROAD,)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="RetryRule"):
        RetryPolicy(rules=[KeyError])  # type: ignore[list-item]
