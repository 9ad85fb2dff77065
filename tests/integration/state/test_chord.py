"""Repairing a chord on a real store; the members are the test's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context

from fluxora_tasks.worker.chord import can_repair, repair
from tests.servers import StoreServer

pytestmark = pytest.mark.integration

MEMBERS = 3


class Chord:
    """One chord of three members, counted by Celery's own backend."""

    def __init__(self, app: Celery) -> None:
        self.app, self.bodies = app, list[Any]()
        app.send_task = lambda name, args=(), *_, **__: self.bodies.append(args[0])
        app.backend.set_chord_size("g", MEMBERS)

    def _request(self, task_id: str, index: int) -> Context:
        body = {"task": "body", "args": (), "kwargs": {}, "options": {"task_id": "body"}, "chord_size": MEMBERS}
        return Context({"id": task_id, "group": "g", "group_index": index, "chord": body, "root_id": "root"})

    def succeeds(self, task_id: str, index: int) -> None:
        self.app.backend.mark_as_done(task_id, index, request=self._request(task_id, index))

    def fails(self, task_id: str, index: int) -> None:
        self.app.backend.mark_as_failure(task_id, ValueError("broken"), request=self._request(task_id, index))

    def expires(self, task_id: str, index: int) -> None:
        self.app.backend.mark_as_revoked(task_id, "expired", request=self._request(task_id, index))

    def repair(self) -> None:
        assert can_repair(self.app.backend)
        repair(self.app.backend, "g")


@pytest.fixture
def chord(store: StoreServer) -> Iterator[Chord]:
    app = Celery("chord", broker="memory://", backend=store.broker_url(1), set_as_current=False)
    yield Chord(app)
    app.close()


@pytest.mark.parametrize("replayed_as", ["m1", "fresh"])
def test_a_member_that_came_back_is_not_waited_for_again(chord: Chord, replayed_as: str) -> None:
    """One expired and came back, perhaps under a fresh id; another fails a second time before it succeeds."""
    chord.succeeds("m0", 0)
    chord.expires("m1", 1)
    chord.fails("m2", 2)
    chord.repair()
    chord.succeeds(replayed_as, 1)
    chord.repair()
    chord.fails("m2", 2)
    assert chord.bodies == []
    chord.repair()
    chord.succeeds("m2", 2)
    assert chord.bodies == [[0, 1, 2]]
