"""Whether to try at all: circuits shared by every process that uses their name."""

from fluxora_tasks.breaker.guard import CircuitBreaker
from fluxora_tasks.breaker.permit import Permit, Refusal
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Override
from fluxora_tasks.breaker.registry import Breakers, breakers

__all__ = [
    "BreakerPolicy",
    "Breakers",
    "CircuitBreaker",
    "CircuitState",
    "Override",
    "Permit",
    "Refusal",
    "breakers",
]
