"""An application that never heard of us."""

from __future__ import annotations

from celery import Celery

app = Celery("bare", broker="memory://")
