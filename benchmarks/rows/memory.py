"""A worker that has run one task and waits."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench
from benchmarks.measuring import Metric, Reading, Side
from benchmarks.rows.row import Row, Sides


def _measure(bench: Bench, side: Side) -> Reading:
    with bench.worker(side, "redis") as worker:
        main, everything = worker.memory()
    return {"main": main, "everything": everything}


@contextmanager
def _open(bench: Bench) -> Iterator[Sides]:
    yield Sides({side: functools.partial(_measure, bench, side) for side in Side})


ROWS = (
    Row(
        "memory",
        "idle worker with two children, Redis",
        "plain + 10 MiB",
        (
            Metric("main", "main process (RSS)", "MiB", digits=1, better="less"),
            Metric("everything", "all processes (sum of PSS)", "MiB", digits=1, better="less"),
        ),
        _open,
        4,
    ),
)
