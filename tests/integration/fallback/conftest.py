"""A private store, and a lane that turns when told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fluxora_tasks import events
from fluxora_tasks.state import StateStore
from tests.servers import StoreServer


class HandLane:
    """Gives its participants a turn when the test says so."""

    def __init__(self) -> None:
        self.participants: list[Any] = []

    def add(self, participant: Any) -> None:
        """Take part."""
        self.participants.append(participant)

    def wake(self, within: float, participant: Any = None) -> None:
        """Nobody is woken."""

    def turn(self) -> None:
        """One turn for everybody."""
        for participant in self.participants:
            participant.turn()


@pytest.fixture
def lane() -> HandLane:
    return HandLane()


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    state = StateStore(store.state_url())
    yield state
    state.close()


@pytest.fixture
def seen() -> Iterator[list[Any]]:
    """Every event of the test."""
    found: list[Any] = []
    unsubscribe = events.subscribe(found.append)
    yield found
    unsubscribe()
