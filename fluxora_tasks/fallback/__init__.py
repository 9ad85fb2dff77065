"""What to give instead of a result: strategies, and the switches over them."""

from fluxora_tasks.fallback.chain import ChainedFallback
from fluxora_tasks.fallback.decorator import with_fallback
from fluxora_tasks.fallback.lastgood import LastGoodFallback
from fluxora_tasks.fallback.outcome import FallbackOutcome, forget_outcome, last_outcome
from fluxora_tasks.fallback.registry import toggles, use_toggles
from fluxora_tasks.fallback.runner import Fallback
from fluxora_tasks.fallback.step import Step
from fluxora_tasks.fallback.strategies import (
    CachedDataFallback,
    CallFallback,
    DefaultValueFallback,
    FallbackStrategy,
    RaiseFallback,
)

__all__ = [
    "CachedDataFallback",
    "CallFallback",
    "ChainedFallback",
    "DefaultValueFallback",
    "Fallback",
    "FallbackOutcome",
    "FallbackStrategy",
    "LastGoodFallback",
    "RaiseFallback",
    "Step",
    "forget_outcome",
    "last_outcome",
    "toggles",
    "use_toggles",
    "with_fallback",
]
