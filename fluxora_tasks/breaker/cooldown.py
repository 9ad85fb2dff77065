"""How long a circuit stays open (pure): longer with each opening, never much longer than the policy's longest."""

from __future__ import annotations

from typing import Final

from fluxora_tasks.breaker.policy import BreakerPolicy

#: Bound of the loop below for a multiplier close to 1.
MOST_ATTEMPTS: Final = 1000


def next_attempt(policy: BreakerPolicy, attempts: int) -> int:
    """Number of the next opening; it does not grow where the cooldown cannot, so that decay takes effect at once."""
    if attempts and _curve_ms(policy, attempts) >= policy.cooldown_max_ms:
        return attempts
    return min(attempts + 1, MOST_ATTEMPTS)


def cooldown_ms(policy: BreakerPolicy, attempt: int, chance: float) -> int:
    """min(longest, base * multiplier ** (attempt - 1)) * (1 + jitter * chance), in whole ms; attempts from 1."""
    return int(_curve_ms(policy, attempt) * (1 + policy.jitter * chance) + 0.5)


def _curve_ms(policy: BreakerPolicy, attempt: int) -> float:
    """By repeated multiplication: no overflow, and to the last bit what the scripts compute."""
    length, longest = float(policy.cooldown_ms), policy.cooldown_max_ms
    for _ in range(attempt - 1):
        if length == 0 or length >= longest or policy.multiplier == 1:
            break
        length *= policy.multiplier
    return min(length, longest)
