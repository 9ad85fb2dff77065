"""Tasks that fail for good: plain Celery forgets them, our side keeps a dead letter of each."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.bench import Bench, Worker
from benchmarks.measuring import Metric, Reading, Side
from benchmarks.rows.row import Row, Sides

_TASKS = 500
_ROUNDS = 6

_METRICS = (
    Metric("rate", "failures, the last dead letter confirmed", "/s", better="more"),
    Metric("main", "CPU of the main process, per failure", "µs", better="less"),
    Metric("pool", "CPU of the children, per failure", "µs", better="less"),
    Metric("main_growth", "growth of the main process over all rounds", "MiB", digits=1),
    Metric("growth", "growth of all processes over all rounds", "MiB", digits=1),
)


def _measure(worker: Worker, number: int) -> Reading:
    drain = worker.drain("fail", number, dead_letters=worker.side is Side.OURS)
    return {
        "rate": number / (drain.seconds + drain.settled),
        "main": drain.main_cpu / number * 1e6,
        "pool": drain.pool_cpu / number * 1e6,
    }


@contextmanager
def _open(broker: str, bench: Bench) -> Iterator[Sides]:
    with bench.both(broker) as workers:
        number = bench.scaled(_TASKS)
        for worker in workers.values():
            _measure(worker, number // 5)
        before = {side: worker.memory() for side, worker in workers.items()}

        def growth() -> Mapping[Side, Reading]:
            now = {side: worker.memory() for side, worker in workers.items()}
            return {
                side: {"main_growth": now[side][0] - before[side][0], "growth": now[side][1] - before[side][1]}
                for side in workers
            }

        yield Sides({side: functools.partial(_measure, worker, number) for side, worker in workers.items()}, growth)


ROWS = tuple(
    Row(
        f"failing-{broker}",
        f"failing task with its dead letter kept, {title} (plain keeps none)",
        "2 × plain; growth below 10 MiB in 3,000 failures",
        _METRICS,
        functools.partial(_open, broker),
        _ROUNDS,
    )
    for broker, title in (("redis", "Redis"), ("rabbit", "RabbitMQ"))
)
