"""The outbox: settles after the confirm, keeps what is refused."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter
from fluxora_tasks.worker import outbox as module
from fluxora_tasks.worker.outbox import Outbox


class Publisher:
    """Refuses the first n publishes; remembers the order of what happened."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.happened: list[str] = []
        self.sizes: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def publish(self, notes: Sequence[DeadLetter | Confirmation]) -> None:
        self.open.wait(10)
        self.sizes.append(len(notes))
        if self.refuse:
            self.refuse -= 1
            self.happened.append("refused")
            raise ConnectionError("no broker")
        self.happened += [f"published {note.run_id}" for note in notes]


def note(run_id: str) -> Confirmation:
    return Confirmation("d", 1, run_id, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.002)


def outbox_for(publisher: Any) -> Outbox:
    return Outbox(publisher)


def test_release_comes_after_the_publish_in_order() -> None:
    """Publish, release, next."""
    publisher = Publisher()
    outbox = outbox_for(publisher)
    for name in ("a", "b"):
        outbox.submit(note(name), lambda name=name: publisher.happened.append(f"released {name}"))  # type: ignore[misc]
        assert outbox.drain(10)
    assert publisher.happened == ["published a", "released a", "published b", "released b"]


def test_a_refused_note_is_published_again_before_anything_is_released() -> None:
    """Nothing is settled while the broker refuses, nothing is given up, one complaint per outage."""
    publisher = Publisher(refuse=5)
    outbox = outbox_for(publisher)
    outbox.submit(note("a"), lambda: publisher.happened.append("released a"))
    assert outbox.drain(10)
    assert publisher.happened == ["refused"] * 5 + ["published a", "released a"]


def test_drain_says_when_something_is_left() -> None:
    """A publish that hangs keeps its message unsettled."""
    publisher = Publisher()
    publisher.open.clear()
    outbox = outbox_for(publisher)
    outbox.submit(note("a"), lambda: None)
    assert not outbox.drain(0.01)
    publisher.open.set()
    assert outbox.drain(10)


def test_a_release_that_raises_does_not_stop_the_next() -> None:
    """The note is out; the message comes back and is folded into its record."""
    publisher = Publisher()
    outbox = outbox_for(publisher)

    def broken() -> None:
        raise RuntimeError("channel closed")

    outbox.submit(note("a"), broken)
    outbox.submit(note("b"), lambda: publisher.happened.append("released b"))
    assert outbox.drain(10)
    assert publisher.happened[-1] == "released b"


def test_notes_that_wait_go_out_together() -> None:
    """One wait for all confirms; after a refusal one note at a time, until the broker takes one."""
    publisher = Publisher()
    publisher.open.clear()
    outbox = outbox_for(publisher)
    for number in range(120):
        outbox.submit(note(str(number)), lambda number=number: publisher.happened.append(f"released {number}"))  # type: ignore[misc]
    publisher.refuse = 3
    publisher.open.set()
    assert outbox.drain(10)
    assert [name for name in publisher.happened if name.startswith("released")] == [f"released {n}" for n in range(120)]
    assert publisher.sizes[1:5] == [1, 1, 1, 50]
    assert max(publisher.sizes) == 50
