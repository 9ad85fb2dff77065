"""What the fallbacks of this process share: its toggles, and where last good values are kept."""

from __future__ import annotations

from fluxora_tasks.fallback.kept import LastGoodValues
from fluxora_tasks.fallback.live import LaneOf, Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.shared import RedisLastGood
from fluxora_tasks.fallback.stores import RedisToggleStore
from fluxora_tasks.state import StateStore

_toggles: Toggles | None = None
_values: LastGoodValues | None = None


def toggles() -> Toggles:
    """The toggles of this process; of this process alone where no shared state is in use."""
    global _toggles
    if _toggles is None:
        store = MemoryToggleStore()
        _toggles = Toggles(store, store)
    return _toggles


def last_good_values() -> LastGoodValues:
    """The last good values of this process; of this process alone where no shared state is in use."""
    global _values
    if _values is None:
        _values = LastGoodValues()
    return _values


def use_toggles(given: Toggles | None) -> None:
    """Have these from now on; ``None``: make them anew when they are next asked for."""
    global _toggles
    _toggles = given


def use_last_good_values(given: LastGoodValues | None) -> None:
    """Have these from now on; ``None``: make them anew when they are next asked for."""
    global _values
    _values = given


def use_state(state: StateStore, lane: LaneOf) -> None:
    """
    Share toggles and last good values with everyone who uses this state.

    Args:
        lane: The process's thread for it.
    """
    use_toggles(Toggles(RedisToggleStore(state), lane))
    use_last_good_values(LastGoodValues(RedisLastGood(state, lane)))
