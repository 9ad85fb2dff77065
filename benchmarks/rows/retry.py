"""Tasks that fail twice and then succeed, with the same delays on both sides."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.app import FLAKY_FAILURES, RETRY_DELAY
from benchmarks.bench import Bench, Worker
from benchmarks.measuring import Metric, Reading
from benchmarks.rows.row import Row, Sides

_TASKS = 1000

_METRICS = (
    Metric("cpu", "CPU of the worker, per task of three runs", "µs", better="less"),
    Metric("drain", "time to the last success", "s", digits=2, better="less"),
    Metric("ideal", "that, over the sum of the delays", "×", digits=2),
    Metric("overhead", "that, beyond the sum of the delays", "s", digits=2, better="less"),
)


def _measure(worker: Worker, number: int) -> Reading:
    drain = worker.drain("flaky", number)
    delays = FLAKY_FAILURES * RETRY_DELAY
    return {
        "cpu": (drain.main_cpu + drain.pool_cpu) / number * 1e6,
        "drain": drain.seconds,
        "ideal": drain.seconds / delays,
        "overhead": drain.seconds - delays,
    }


@contextmanager
def _open(broker: str, bench: Bench) -> Iterator[Sides]:
    with bench.both(broker) as workers:
        number = bench.scaled(_TASKS)
        for worker in workers.values():
            _measure(worker, number // 10)
        yield Sides({side: functools.partial(_measure, worker, number) for side, worker in workers.items()})


ROWS = tuple(
    Row(
        f"retry-{broker}",
        f"1,000 tasks failing twice, {title}",
        "3 × plain; drain at most 2 × ideal",
        _METRICS,
        functools.partial(_open, broker),
        4,
    )
    for broker, title in (("redis", "Redis"), ("rabbit", "RabbitMQ"))
)
