"""The circuit an option names: one handed in, or the shared one of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.retry.permits import Circuit


def circuit_of(breaker: Any) -> Callable[[], Circuit] | None:
    """
    What gives the circuit when it is needed; ``None`` where there is none.

    A name is looked up at each attempt, so that what is configured later counts.

    Raises:
        ConfigurationError: it is neither a name nor gives permits.
    """
    if breaker is None:
        return None
    if isinstance(breaker, str):
        return lambda: _named(breaker)
    if not callable(getattr(breaker, "acquire", None)):
        raise ConfigurationError(f"breaker takes a CircuitBreaker or the name of a circuit; got {breaker!r}")
    return lambda: breaker


def _named(name: str) -> Any:
    from fluxora_tasks.breaker.registry import breakers

    return breakers().get(name)
