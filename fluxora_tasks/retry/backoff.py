"""Delay curves and jitter (pure)."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

from fluxora_tasks.errors import ConfigurationError

Jitter = Literal["full", "equal", "decorrelated", "none"]


def ceiling(attempt: int, base: float, factor: float, cap: float) -> float:
    """
    Longest delay after the given attempt, in seconds: min(cap, base * factor ** (attempt - 1)).

    Attempts 1, 2, 3 with base 1, factor 2 give 1, 2, 4. Large attempts end at the cap, they do not overflow.

    Raises:
        ValueError: attempt is below 1.
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, got {attempt}")
    try:
        return min(cap, base * float(factor) ** (attempt - 1))
    except OverflowError:
        return cap if base > 0 else 0.0


def jittered(
    limit: float, base: float, cap: float, previous: float | None, kind: Jitter | float, random: Random
) -> float:
    """
    The delay to wait, in seconds: never above ``limit`` ("decorrelated": never above ``cap``).

    none: limit · full: U(0, limit) · equal: limit/2 + U(0, limit/2) · decorrelated: min(cap, U(base, 3 * previous)) ·
    a share p: limit * U(1 - p, 1). Jitter is applied after the cap and downward, so that delays at the cap do not
    collapse to one value.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    match kind:
        case "none":
            return limit
        case "full":
            return random.uniform(0, limit)
        case "equal":
            return limit / 2 + random.uniform(0, limit / 2)
        case "decorrelated":
            return min(cap, random.uniform(base, max(base, 3 * (base if previous is None else previous))))
        case share:
            return limit * (1 - random.uniform(0, share))


def jitter_of(value: Any) -> Jitter | float:
    """
    A jitter as it is written in a policy, as one of the kinds.

    Raises:
        ConfigurationError: it is none of them.
    """
    if value is None or isinstance(value, bool):
        return "full" if value else "none"
    if value in ("full", "equal", "decorrelated", "none"):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    raise ConfigurationError(
        f"jitter is True, False, 'full', 'equal', 'decorrelated', 'none' or a share from 0 to 1; got {value!r}"
    )
