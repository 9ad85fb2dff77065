"""Policies by name: what data says about circuits, over what the code says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fluxora_tasks.breaker.policies import Policies, policies_of, simple_policy, with_options
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.errors import ConfigurationError

LAYERED = Policies(
    defaults={"cooldown": 1.0, "probes": 5},
    services={
        "*": {"cooldown": 2.0, "jitter": 0.0},
        "pay-*": {"cooldown": 3.0},
        "pay-??": {"cooldown": 4.0},  # as long as the one above and as fitting; later by its letters
        "pay-card": {"cooldown": 6.0},
    },
)


@pytest.mark.parametrize(
    ("name", "given", "cooldown", "probes"),
    [
        ("mail", None, 2.0, 5),  # the pattern over the defaults, which stay elsewhere
        ("pay-invoice", None, 3.0, 5),  # the longer pattern
        ("pay-us", None, 4.0, 5),
        ("pay-card", None, 6.0, 5),  # the name itself, whatever patterns fit
        ("Pay-card", None, 2.0, 5),  # letters matter
        ("mail", BreakerPolicy(cooldown=9, probes=4), 2.0, 4),  # the code's policy knows no defaults
    ],
)
def test_the_most_special_word_wins(name: str, given: BreakerPolicy | None, cooldown: float, probes: int) -> None:
    """Defaults, then patterns from the shortest to the longest, then the name; each changes what it names."""
    policy = LAYERED.of(name, given)
    assert (policy.cooldown, policy.probes, policy.jitter) == (cooldown, probes, 0.0)


def test_nothing_configured() -> None:
    """The code's policy, or else the library's."""
    own = BreakerPolicy(probes=1, probes_required=1, trip_on=bool)
    assert Policies().of("api", own) == own
    assert Policies().of("api") == BreakerPolicy()


def test_a_name_with_signs_of_a_pattern_is_itself() -> None:
    """Not also the pattern that it looks like."""
    policies = Policies(services={"a*": {"cooldown": 7.0}})
    assert (policies.of("a*").cooldown, policies.of("abc").cooldown) == (7.0, 7.0)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"failure_threshold": 3}, {"all_failed": 3, "min_calls": 10}),
        ({"failure_threshold": 8}, {"all_failed": 8, "min_calls": 16}),  # half of fewer calls would be fewer failures
        ({"failure_threshold": 8, "min_calls": 4}, {"all_failed": 8, "min_calls": 4}),  # the long form wins
        ({"recovery_timeout": 30}, {"cooldown": 30.0, "cooldown_max": 300.0}),
        ({"recovery_timeout": 600}, {"cooldown": 600.0, "cooldown_max": 600.0}),
        ({"recovery_timeout": timedelta(minutes=1)}, {"cooldown": 60.0}),
        ({"recovery_timeout": 0}, {"cooldown": 0.0}),
        ({"failure_threshold": None, "recovery_timeout": None}, {"all_failed": 5, "cooldown": 5.0}),
    ],
)
def test_short_forms(options: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The two numbers that every circuit breaker knows, as options of this one."""
    policy = with_options(BreakerPolicy(), options)
    assert {name: getattr(policy, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"failure_threshold": 0}, "failure_threshold is a whole number from 1; got 0"),
        ({"failure_threshold": 2.0}, "failure_threshold is a whole number"),
        ({"failure_threshold": True}, "failure_threshold is a whole number"),
        ({"recovery_timeout": -1}, "recovery_timeout is a number of seconds from 0; got -1"),
        ({"recovery_timeout": "30"}, "recovery_timeout is a number of seconds"),
        ({"recovery_timeout": True}, "recovery_timeout is a number of seconds"),
    ],
)
def test_unfit_short_forms(options: dict[str, Any], words: str) -> None:
    """Refused under the name that was written."""
    with pytest.raises(ConfigurationError, match=words):
        with_options(BreakerPolicy(), options)


def test_simple_policy() -> None:
    """One probe decides; the rest is the library's."""
    policy = simple_policy(failure_threshold=3, recovery_timeout=60)
    assert policy == BreakerPolicy(all_failed=3, cooldown=60, probes=1, probes_required=1)


def test_data() -> None:
    """The form of the requirements, with and without defaults."""
    said = {"services": {"weather-service": {"failure_threshold": 3, "recovery_timeout": 60}}}
    assert policies_of(said).of("weather-service").all_failed == 3
    assert policies_of({"defaults": {"probes": 4}, **said}).of("other").probes == 4
    assert policies_of({}) == Policies()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "a table with 'services'"),
        ({"service": {}}, "the file: unknown option 'service'; did you mean services?"),
        ({"services": []}, r"services is a table; got \[\]"),
        ({"defaults": None}, "defaults is a table; got None"),
        ({"services": {"api": 3}}, "services.api is a table; got 3"),
        ({"services": {"api": {"cooldwon": 3}}}, "services.api: unknown option 'cooldwon'; did you mean cooldown?"),
        ({"services": {"api": {"zzz": 3}}}, "services.api: unknown option 'zzz'; known are all_failed, attempt_decay"),
        ({"services": {"api": {"trip_on": "f"}}}, "services.api: unknown option 'trip_on'"),  # code, not data
        ({"services": {"api": {1: 3}}}, "services.api: unknown option 1"),
        ({"services": {"api": {"window": 0}}}, "services.api: window is a number from 1"),
        # works alone, but not with the defaults
        ({"defaults": {"probes": 1, "probes_required": 1}, "services": {"api": {"probes_required": 2}}},
         "services.api: probes_required is at most probes"),
        ({"defaults": {"window": 0}}, "defaults: window is a number from 1"),
    ],
)  # fmt: skip
def test_unfit_data(said: Any, words: str) -> None:
    """Refused when it is read, with the place and what may stand there."""
    with pytest.raises(ConfigurationError, match=words):
        policies_of(said)
