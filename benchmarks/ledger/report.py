"""Figures beside their budgets, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from benchmarks.ledger.rates import Rate
from benchmarks.ledger.timing import BUDGET, ROUNDS, PageTiming


def pages(title: str, found: Iterable[PageTiming]) -> Table:
    """Pages beside the budget."""
    table = Table(title=f"{title}; ms, median of {ROUNDS} rounds; budget {BUDGET:.0f} ms", title_justify="left")
    for name in ("page", "asked for"):
        table.add_column(name)
    for name in ("first page + total", "deep page + total", "total alone", "found", "within"):
        table.add_column(name, justify="right")
    for took in found:
        figures = ["-" if value is None else f"{value:,.1f}" for value in (took.first, took.deep, took.total)]
        table.add_row(took.name, took.wanted, *figures, took.found, "yes" if took.is_within else "NO")
    return table


def rates(title: str, found: Iterable[Rate]) -> Table:
    """Rates beside their budgets, or beside another side measured in turn."""
    table = Table(title=f"{title}; per second", title_justify="left")
    table.add_column("what")
    for name in ("measured", "bare producer", "ratio", "budget", "within"):
        table.add_column(name, justify="right")
    for rate in found:
        table.add_row(rate.name, f"{rate.value:,.0f}", *_judged(rate))
    return table


def _judged(rate: Rate) -> tuple[str, str, str, str]:
    reached = rate.value if rate.beside is None else rate.value / rate.beside
    beside, ratio = ("-", "-") if rate.beside is None else (f"{rate.beside:,.0f}", f"{reached:.2f} ×")
    if rate.budget is None:
        return beside, ratio, "-", "-"
    wanted = f"≥ {rate.budget:,.0f}" if rate.beside is None else f"≥ {rate.budget} ×"
    return beside, ratio, wanted, "yes" if reached >= rate.budget else "NO"
