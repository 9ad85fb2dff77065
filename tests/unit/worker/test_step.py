"""Steps of a worker."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool as ProcessPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.worker.consumer import Consumer

from fluxora_tasks.deadletter.redaction import USUAL
from fluxora_tasks.worker.step import PreparationStep


def _worker(pool: type) -> Any:
    app = SimpleNamespace(fluxora=SimpleNamespace(redaction=USUAL))
    return SimpleNamespace(pool_cls=pool, consumer_cls=Consumer, steps=[], app=app)


def test_a_forking_worker_freezes_the_heap_until_it_stops() -> None:
    """Children share the frozen pages; a program that embeds the worker collects its garbage afterwards."""
    worker = _worker(ProcessPool)
    step = PreparationStep(worker)
    assert gc.get_freeze_count() > 0

    step.stop(worker)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("ending", ["stop", "terminate"])
def test_other_pools_leave_the_collector_alone(ending: str) -> None:
    """Without a fork there is nothing to share, and an embedded worker would keep dead apps alive."""
    before = gc.get_freeze_count()
    step = PreparationStep(_worker(SoloPool))
    assert gc.get_freeze_count() == before
    getattr(step, ending)(_worker(SoloPool))
    assert gc.get_freeze_count() == before
