"""What install adds to one publish and to one run of a body, without a worker around it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import Celery
from celery.app.trace import build_tracer

from benchmarks.bench import Bench
from benchmarks.measuring import Metric, Reading, Side
from benchmarks.rows.row import Row, Sides

_PUBLISHES = 500
_RUNS = 5000


def _timed(action: Callable[[], object], number: int) -> Reading:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(number):
        action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / number * 1e6, "cpu": cpu / number * 1e6}


def _runner(app: Celery) -> Callable[[], object]:
    task = app.tasks["noop"]
    trace = build_tracer("noop", task, app=app)
    request = {"id": "noop", "task": "noop", "called_directly": False, "ignore_result": True, "delivery_info": {}}
    return functools.partial(trace, "noop", (), {}, request)


@contextmanager
def _open(action: Callable[[Celery], Callable[[], object]], broker: str, number: int, bench: Bench) -> Iterator[Sides]:
    with bench.client(Side.PLAIN, broker) as plain, bench.client(Side.OURS, broker) as ours:
        actions = {Side.PLAIN: action(plain), Side.OURS: action(ours)}
        for each in actions.values():
            _timed(each, number // 10)
        yield Sides({side: functools.partial(_timed, each, bench.scaled(number)) for side, each in actions.items()})


_METRICS = (
    Metric("cpu", "CPU", "µs", digits=1, better="less"),
    Metric("wall", "time", "µs", digits=1, better="less"),
)

ROWS = (
    *(
        Row(
            f"publish-{broker}",
            f"one delay(), {title}",
            "none; printed for the record",
            _METRICS,
            functools.partial(_open, lambda app: app.tasks["noop"].delay, broker, _PUBLISHES),
            10,
        )
        for broker, title in (("redis", "Redis"), ("rabbit", "RabbitMQ"))
    ),
    Row(
        "trace",
        "one run of a no-op body in Celery's tracer",
        "none; printed for the record",
        _METRICS,
        functools.partial(_open, _runner, "redis", _RUNS),
        10,
    ),
)
