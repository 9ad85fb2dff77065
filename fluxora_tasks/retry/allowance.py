"""RetryBudget: the allowance of retries as users name it, of one process or of the fleet."""

from __future__ import annotations

from fluxora_tasks.retry.budget import TokenBucket
from fluxora_tasks.retry.shared import SharedRetryBudget


class RetryBudget(TokenBucket):
    """A bucket of tokens in this process; ``RetryBudget.shared`` is an allowance of the whole fleet."""

    @staticmethod
    def shared(name: str, ratio: float = 0.2, floor: float = 10.0, *, window: float = 10.0) -> SharedRetryBudget:
        """
        An allowance for everyone who uses this name: retries <= ratio * first attempts + floor, fleet-wide.

        Args:
            ratio: Retries per first attempt in the window.
            floor: Retries per second beside that, of all processes together.
            window: Seconds that are looked at; from 1.

        Raises:
            ConfigurationError: an argument is out of range.
        """
        return SharedRetryBudget(name, ratio, floor, window=window)
