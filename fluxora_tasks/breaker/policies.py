"""Policies by name (pure): what a file or a mapping says about circuits, over what the code says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.errors import ConfigurationError

#: Options of a circuit that data can give; ``trip_on`` is code.
OPTIONS: Final = frozenset(one.name for one in fields(BreakerPolicy)) - {"trip_on"}

#: Short forms, as constructor arguments of ``CircuitBreaker``.
_SHORT: Final = frozenset({"failure_threshold", "recovery_timeout"})

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Policies:
    """
    What is configured.

    Attributes:
        defaults: Options of circuits for which the code has no policy.
        services: Name, or pattern with ``*`` and ``?`` -> options; more special ones win.
    """

    defaults: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _NOTHING)

    def of(self, name: str, given: BreakerPolicy | None = None) -> BreakerPolicy:
        """The policy of a circuit: the code's, or else the defaults; over that what is configured for its name."""
        policy = with_options(BreakerPolicy(), self.defaults) if given is None else given
        for options in self._matching(name):
            policy = with_options(policy, options)
        return policy

    def _matching(self, name: str) -> list[Mapping[str, Any]]:
        """From the most general pattern to the name itself."""
        patterns = [pattern for pattern in self.services if pattern != name and fnmatchcase(name, pattern)]
        ordered = sorted(patterns, key=lambda pattern: (len(pattern), pattern))
        own = [name] if name in self.services else []
        return [self.services[pattern] for pattern in (*ordered, *own)]


def simple_policy(failure_threshold: int = 5, recovery_timeout: float = 30.0) -> BreakerPolicy:
    """
    The policy of the two numbers that every circuit breaker knows; one probe decides.

    Args:
        failure_threshold: Failures in the window, without one success, that open.
        recovery_timeout: First time open, in seconds.
    """
    once = BreakerPolicy(probes=1, probes_required=1)
    return with_options(once, {"failure_threshold": failure_threshold, "recovery_timeout": recovery_timeout})


def with_options(policy: BreakerPolicy, options: Mapping[str, Any]) -> BreakerPolicy:
    """
    A policy with other options.

    Raises:
        ConfigurationError: an option has no such value; say to whom it belongs.
    """
    plain = {name: value for name, value in options.items() if name not in _SHORT}
    return replace(policy, **{**_long_forms(policy, options), **plain})


def _long_forms(policy: BreakerPolicy, options: Mapping[str, Any]) -> dict[str, Any]:
    """The rate rule must not open before the threshold is reached: so many failures are half of twice as many calls."""
    found: dict[str, Any] = {}
    threshold, timeout = options.get("failure_threshold"), options.get("recovery_timeout")
    if threshold is not None:
        if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 1:
            raise ConfigurationError(f"failure_threshold is a whole number from 1; got {threshold!r}")
        found |= {"all_failed": threshold, "min_calls": max(BreakerPolicy.min_calls, 2 * threshold)}
    if timeout is not None:
        seconds = _seconds("recovery_timeout", timeout)
        found |= {"cooldown": seconds, "cooldown_max": max(policy.cooldown_max, seconds)}
    return found


def _seconds(name: str, value: Any) -> float:
    number = value.total_seconds() if hasattr(value, "total_seconds") else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number < 0:
        raise ConfigurationError(f"{name} is a number of seconds from 0; got {value!r}")
    return float(number)


def policies_of(said: Any) -> Policies:
    """
    Policies from data of the form ``{"defaults": {...}, "services": {"weather-service": {"failure_threshold": 3}}}``.

    Raises:
        ConfigurationError: it has another form, an unknown option, or a value that does not work.
    """
    if not isinstance(said, Mapping):
        raise ConfigurationError("policies of circuits are a table with 'services', and 'defaults' if you like")
    _check_names("the file", said, {"services", "defaults"})
    services = _table("services", said.get("services", {}))
    policies = Policies(
        _options("defaults", said.get("defaults", {})),
        {name: _options(f"services.{name}", options) for name, options in services.items()},
    )
    _check("defaults", partial(with_options, BreakerPolicy(), policies.defaults))
    for name in services:
        _check(f"services.{name}", partial(policies.of, name))
    return policies


def _options(place: str, said: Any) -> Mapping[str, Any]:
    options = _table(place, said)
    _check_names(place, options, OPTIONS | _SHORT)
    return dict(options)


def _table(place: str, said: Any) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"{place} is a table; got {said!r}")
    return said


def _check_names(place: str, said: Mapping[str, Any], known: set[str] | frozenset[str]) -> None:
    for name in said:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigurationError(f"{place}: unknown option {name!r}; {hint}")


def _check(place: str, make: Callable[[], BreakerPolicy]) -> None:
    try:
        make()
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
