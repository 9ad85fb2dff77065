"""What the fallbacks of this process share: its toggles, and where last good values are kept."""

from __future__ import annotations

from fluxora_tasks.fallback.kept import LastGoodValues
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.shared import RedisLastGood
from fluxora_tasks.fallback.stores import RedisToggleStore
from fluxora_tasks.lane import lane_of
from fluxora_tasks.shared import shared_state, when_changed
from fluxora_tasks.state import StateStore

_toggles: Toggles | None = None
_values: LastGoodValues | None = None


def toggles() -> Toggles:
    """The toggles of this process; of this process alone where there is no shared state."""
    global _toggles
    if _toggles is None:
        _toggles = _found_toggles(shared_state())
    return _toggles


def last_good_values() -> LastGoodValues:
    """The last good values of this process; of this process alone where there is no shared state."""
    global _values
    if _values is None:
        state = shared_state()
        _values = LastGoodValues(None if state is None else RedisLastGood(state, lane_of(state)))
    return _values


def use_toggles(given: Toggles | None) -> None:
    """Have these from now on; ``None``: make them anew when they are next asked for."""
    global _toggles
    _toggles = given


def use_last_good_values(given: LastGoodValues | None) -> None:
    """Have these from now on; ``None``: make them anew when they are next asked for."""
    global _values
    _values = given


def _found_toggles(state: StateStore | None) -> Toggles:
    if state is not None:
        return Toggles(RedisToggleStore(state), lane_of(state))
    store = MemoryToggleStore()
    return Toggles(store, store)


def _forget() -> None:
    use_toggles(None)
    use_last_good_values(None)


when_changed(_forget)
