"""No-op tasks through a prefork worker: what everything together costs where nothing goes wrong."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench, Worker
from benchmarks.measuring import Metric, Reading
from benchmarks.rows.row import Row, Sides

_TASKS = 1500

METRICS = (
    Metric("rate", "tasks", "/s", better="more"),
    Metric("main", "CPU of the main process, per task", "µs", better="less"),
    Metric("pool", "CPU of the children, per task", "µs", better="less"),
)


def measure(worker: Worker, task: str, number: int) -> Reading:
    """Drain one backlog."""
    drain = worker.drain(task, number)
    return {
        "rate": number / drain.seconds,
        "main": drain.main_cpu / number * 1e6,
        "pool": drain.pool_cpu / number * 1e6,
    }


@contextmanager
def _open(broker: str, bench: Bench) -> Iterator[Sides]:
    with bench.both(broker) as workers:
        number = bench.scaled(_TASKS)
        for worker in workers.values():
            worker.drain("noop", number // 5)
        yield Sides({side: functools.partial(measure, worker, "noop", number) for side, worker in workers.items()})


ROWS = tuple(
    Row(
        f"noop-{broker}",
        f"no-op task, {title}, default features, prefork",
        budget,
        METRICS,
        functools.partial(_open, broker),
    )
    for broker, title, budget in (
        ("redis", "Redis", "1.0 × plain, 2 × with our transport"),
        ("rabbit", "RabbitMQ", "1.0 × plain"),
    )
)
