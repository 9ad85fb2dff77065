"""Time, chance and a server in the test's hands."""

from __future__ import annotations

from random import Random

import fakeredis

from fluxora_tasks.state import StateStore


class HeldClock:
    """A store's clock in ms that passes when told."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ms += round(seconds * 1000)


class HeldChance(Random):
    """Draws one number, again and again."""

    def __init__(self, number: float = 0.5) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        """That number."""
        return self.number


class FakeState(StateStore):
    """Shared state without a server."""

    def __init__(self) -> None:
        super().__init__("redis://nowhere")
        self._client = fakeredis.FakeRedis()
