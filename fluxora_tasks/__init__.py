"""Fluxora Tasks: Celery that never loses a message.

from celery import Celery
from fluxora_tasks import install

app = Celery("workers")
install(app)
"""

from fluxora_tasks._version import __version__
from fluxora_tasks.breaker import BreakerPolicy, CircuitBreaker, CircuitState
from fluxora_tasks.configuration import configure
from fluxora_tasks.errors import CircuitBreakerError, FluxoraError, NonRetryableError, RetryableError
from fluxora_tasks.fallback import (
    CachedDataFallback,
    CallFallback,
    ChainedFallback,
    DefaultValueFallback,
    FallbackStrategy,
    LastGoodFallback,
    RaiseFallback,
    with_fallback,
)
from fluxora_tasks.install import install
from fluxora_tasks.queues import queue
from fluxora_tasks.retry import RetryPolicy, retry
from fluxora_tasks.settings import Settings
from fluxora_tasks.task.base import ResilientTask
from fluxora_tasks.transport.outgoing import PublishFailed

__all__ = [
    "BreakerPolicy",
    "CachedDataFallback",
    "CallFallback",
    "ChainedFallback",
    "CircuitBreaker",
    "CircuitBreakerError",
    "CircuitState",
    "DefaultValueFallback",
    "FallbackStrategy",
    "FluxoraError",
    "LastGoodFallback",
    "NonRetryableError",
    "PublishFailed",
    "RaiseFallback",
    "ResilientTask",
    "RetryPolicy",
    "RetryableError",
    "Settings",
    "__version__",
    "configure",
    "install",
    "queue",
    "retry",
    "with_fallback",
]
