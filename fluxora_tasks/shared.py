"""The shared state of this process: which one it is, for circuits, toggles, budgets and last good values alike."""

from __future__ import annotations

from collections.abc import Callable

from fluxora_tasks.state import StateStore

#: Finds shared state; ``None``: there is none, each process is on its own.
Finder = Callable[[], StateStore | None]

_finder: Finder = lambda: None  # noqa: E731 - until somebody knows better
_found: tuple[StateStore | None] | None = None
_dependents: list[Callable[[], None]] = []


def shared_state() -> StateStore | None:
    """Shared state, found at the first use."""
    global _found
    if _found is None:
        _found = (_finder(),)
    return _found[0]


def use(finder: Finder) -> None:
    """Find shared state this way from now on; nothing is opened before somebody needs it."""
    global _finder, _found
    _finder, _found = finder, None
    for dependent in _dependents:
        dependent()


def when_changed(dependent: Callable[[], None]) -> None:
    """Call this when another state is to be used."""
    _dependents.append(dependent)
