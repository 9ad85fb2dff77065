"""What the fallbacks of this process share: its toggles, and where last good values are kept."""

from __future__ import annotations

from fluxora_tasks.fallback.kept import LastGoodValues
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore

_toggles: Toggles | None = None
_values: LastGoodValues | None = None


def toggles() -> Toggles:
    """The toggles of this process."""
    global _toggles
    if _toggles is None:
        store = MemoryToggleStore()
        _toggles = Toggles(store, store)
    return _toggles


def use_toggles(given: Toggles | None) -> None:
    """Have these from now on; ``None``: make them anew when they are next asked for."""
    global _toggles
    _toggles = given


def last_good_values() -> LastGoodValues:
    """The last good values of this process."""
    global _values
    if _values is None:
        _values = LastGoodValues()
    return _values


def use_last_good_values(given: LastGoodValues | None) -> None:
    """Have these from now on; ``None``: make them anew when they are next asked for."""
    global _values
    _values = given
