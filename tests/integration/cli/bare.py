"""A plain Celery app, without `install`."""

from __future__ import annotations

from celery import Celery

app = Celery("bare", broker="memory://")
