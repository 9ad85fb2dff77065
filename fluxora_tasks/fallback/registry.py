"""What the fallbacks of this process share: its toggles, and where last good values are kept."""

from __future__ import annotations

from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore

_toggles: Toggles | None = None


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
