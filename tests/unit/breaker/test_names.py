"""Which names a process has to note."""

from __future__ import annotations

from fluxora_tasks.breaker.stores.names import EVERY, NotedNames
from tests.unit.breaker.hands import Hour


def test_a_name_is_due_once_a_minute() -> None:
    """At first, and a minute after it was noted; that it was due alone notes nothing."""
    hour = Hour()
    noted = NotedNames(hour)
    assert noted.due(["a", "b"]) == ["a", "b"]
    assert noted.due(["a"]) == ["a"]
    noted.add(["a"])
    hour.now += EVERY - 0.1
    assert noted.due(["a", "b"]) == ["b"]
    hour.now += 0.1
    assert noted.due(["a", "b"]) == ["a", "b"]


def test_another_name_does_not_make_a_note_newer() -> None:
    """Each has its own minute."""
    hour = Hour()
    noted = NotedNames(hour)
    noted.add(["a"])
    hour.now += EVERY / 2
    noted.add(["b"])
    hour.now += EVERY / 2
    assert noted.due(["a", "b"]) == ["a"]
