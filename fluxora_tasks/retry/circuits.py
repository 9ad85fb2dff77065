"""The circuit an option names or hands in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.registry import breakers
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.permits import Circuit


def circuit_of(breaker: Any) -> Callable[[], Circuit] | None:
    """
    What gives the circuit when it is needed; ``None`` where there is none.

    Raises:
        ConfigurationError: it gives no permits, or a circuit may not be called so.
    """
    if breaker is None:
        return None
    if isinstance(breaker, str):
        name = checked_name(breaker)
        return lambda: breakers().get(name)
    if not callable(getattr(breaker, "acquire", None)):
        raise ConfigurationError(f"breaker takes a CircuitBreaker or the name of a circuit; got {breaker!r}")
    return lambda: breaker
