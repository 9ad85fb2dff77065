"""The circuit an option hands in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.permits import Circuit


def circuit_of(breaker: Any) -> Callable[[], Circuit] | None:
    """
    What gives the circuit when it is needed; ``None`` where there is none.

    Raises:
        ConfigurationError: it gives no permits.
    """
    if breaker is None:
        return None
    if not callable(getattr(breaker, "acquire", None)):
        raise ConfigurationError(f"breaker takes a CircuitBreaker; got {breaker!r}")
    return lambda: breaker
