"""The Celery application; where its broker, store and ledger are comes from ``FLUXORA_*`` variables."""

from __future__ import annotations

from celery import Celery

from fluxora_tasks import install

app = Celery("workers", include=["workers.demand.tasks"])
install(app)

app.conf.update(
    timezone="UTC",
    result_expires=3600,  # seconds; the pipeline keeps its results in a store of its own
    worker_prefetch_multiplier=2,  # short tasks: one to run, one at hand
)
