"""A plain Celery app on the durable transport, chosen by hand: shows what the transport does by itself."""

from __future__ import annotations

import os
import time

import redis
from celery import Celery

from fluxora_tasks.transport.connection import DurableConnection

app = Celery("durable", broker=os.environ.get("TEST_BROKER", "redis://"))
app.conf.update(
    broker_transport_options={"visibility_timeout": 3, "unacked_restore_interval": 1, "unacked_restore_throttle": 1},
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("TEST_PREFETCH", "4")),
)
if os.environ.get("TEST_TRANSPORT") != "plain":
    app.amqp.Connection = DurableConnection


@app.task(name="run")
def run(number: int, trace_url: str, seconds: float = 0.0) -> None:
    """Leave a trace of the start, of the end, and of its time."""
    with redis.Redis.from_url(trace_url) as trace:
        trace.zincrby("started", 1, str(number))
        time.sleep(seconds)
        trace.hset("ended_at", str(number), repr(time.time()))
        trace.zincrby("ended", 1, str(number))
