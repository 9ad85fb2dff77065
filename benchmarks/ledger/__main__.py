"""``python -m benchmarks.ledger``: how a large ledger serves, page by page and message by message."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from benchmarks.ledger import filters, pages, rates, report
from benchmarks.ledger.filling import NEWEST, fill
from benchmarks.machine import describe
from fluxora_tasks.clock import SystemClock
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.servers import PrivatePostgres, PrivateRabbit, PrivateRedis

#: Dead letters per second that a recorder takes.
_INGEST_BUDGET = {"sqlite": 5_000.0, "postgresql": 10_000.0}

#: What may be measured.
_PARTS = ("filters", "pages", "ingest", "replay")


class HeldClock(SystemClock):
    """A clock that stands where the records end."""

    def now(self) -> datetime:
        """The time of the newest record."""
        return NEWEST


def main() -> None:
    """Fill, measure, print; judge nothing."""
    options = _parser().parse_args()
    console = Console(width=None if Console().is_terminal else 160)
    console.print(f"{describe()}\n", highlight=False)
    for kind in options.kinds or ("sqlite", "postgresql"):
        with _database(kind) as url:
            _measure(console, url, options)


def _measure(console: Console, url: str, options: argparse.Namespace) -> None:
    """One database."""
    engine = open_engine(url)
    upgrade(engine)
    kind, ledger = engine.dialect.name, Ledger(engine, clock=HeldClock())
    console.print(f"{kind}: filled with {options.records:,} records in {fill(engine, options.records):.0f} s")
    title = f"{options.records:,} records on {kind}"
    parts = options.parts or _PARTS
    if "filters" in parts:
        console.print(report.pages(f"{title}: lists", filters.timings(engine, ledger)))
    if "pages" in parts:
        console.print(report.pages(f"{title}: other pages", pages.timings(engine, ledger)))
        console.print(report.pages(f"{title}: plans, which are no pages", pages.plans(engine)))
    if "replay" in parts:
        console.print(report.rates(f"{title}: replay", _replays(engine, options.records)))
    engine.dispose()
    if "ingest" in parts:
        found = rates.ingest(url, options.notes, _INGEST_BUDGET[kind])
        console.print(report.rates(f"{title}: ingest of {options.notes:,} notes", found))


def _replays(engine: Engine, records: int) -> Iterator[rates.Rate]:
    for broker in ("redis", "rabbitmq"):
        with _broker(broker) as url:
            yield rates.replay(engine, broker, url, min(1000, records // 50))


@contextmanager
def _broker(kind: str) -> Iterator[str]:
    """URL of an empty broker of its own."""
    private: PrivateRedis | PrivateRabbit
    if kind == "redis":
        private = PrivateRedis()
        url = private.server.broker_url()
    else:
        private = PrivateRabbit()
        url = private.await_ready().url(private.fresh_vhost())
    try:
        yield url
    finally:
        private.stop()


@contextmanager
def _database(kind: str) -> Iterator[str]:
    """URL of an empty database of its own."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="fluxora-bench-") as directory:
            yield f"sqlite:///{Path(directory) / 'ledger.db'}"
        return
    private = PrivatePostgres()
    try:
        yield private.server.url(private.server.create_database())
    finally:
        private.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="in the ledger before anything is measured")
    parser.add_argument("--notes", type=int, default=20_000, help="that a recorder takes")
    parser.add_argument("--only", dest="parts", action="append", choices=_PARTS, help="may be given several times")
    for kind in _INGEST_BUDGET:
        parser.add_argument(f"--{kind}", dest="kinds", action="append_const", const=kind, help="only this one")
    return parser


if __name__ == "__main__":
    main()
