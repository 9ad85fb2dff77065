"""Orders of operators, as every store takes them (pure)."""

from __future__ import annotations

from fluxora_tasks.breaker.record import Order
from fluxora_tasks.errors import ConflictError


def check_generation(name: str, generation: int, order: Order) -> None:
    """
    Whether the circuit is still the one that the operator saw.

    Raises:
        ConflictError: it changed meanwhile.
    """
    expected = order.expected_generation
    if expected is not None and expected != generation:
        raise ConflictError(f"circuit {name!r} changed meanwhile: its generation is {generation}, not {expected}")


def milliseconds(seconds: float) -> int:
    """A length of time in whole ms, at least one."""
    return max(1, round(seconds * 1000))
