"""Figures as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Metric, Reading, Samples, Side, ratio, samples
from benchmarks.rows.row import Row


def table(row: Row, readings: Mapping[Side, Sequence[Reading]]) -> Table:
    """One row of the budget: a line per metric."""
    rounds = len(readings[Side.PLAIN])
    drawn = Table(
        title=f"{row.title}\nbudget: {row.budget}; median (least to most) of {rounds} rounds", title_justify="left"
    )
    drawn.add_column(row.name)
    for title in ("plain Celery", "with us", "ratio (more is better)"):
        drawn.add_column(title, justify="right")
    for metric in row.metrics:
        plain, ours = (samples(readings[side], metric) for side in Side)
        drawn.add_row(metric.title, _cell(plain, metric), _cell(ours, metric), _ratio(ratio(metric, plain, ours)))
    return drawn


def print_row(console: Console, row: Row, readings: Mapping[Side, Sequence[Reading]]) -> None:
    """Print it."""
    console.print(table(row, readings))
    console.print()


def _cell(values: Samples | None, metric: Metric) -> str:
    return "-" if values is None else f"{_spread(values, metric.digits)} {metric.unit}"


def _ratio(values: Samples | None) -> str:
    return "" if values is None else f"{_spread(values, 2)} ×"


def _spread(values: Samples, digits: int) -> str:
    text = f"{values.median:,.{digits}f}"
    return text if len(values.values) == 1 else f"{text} ({values.low:,.{digits}f} to {values.high:,.{digits}f})"
