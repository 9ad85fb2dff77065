"""``python -m benchmarks.ledger``: how long the pages of a large ledger take, filter by filter, beside the budget."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, func, select, text

from benchmarks.machine import describe
from fluxora_tasks.clock import SystemClock
from fluxora_tasks.ledger import leading, search
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.filters import frozen, parse
from fluxora_tasks.ledger.models import DeadLetterRow, DeadLetterViewRow, GroupRow, table_of
from fluxora_tasks.ledger.repository import Ledger
from tests.servers import PrivatePostgres

#: Milliseconds of a page with its total.
BUDGET = 50.0
ROUNDS = 7
BATCH = 5000
GROUPS = 200
NEWEST = datetime(2026, 11, 1, 12, tzinfo=UTC)

TASKS = ("shop.charge", "shop.refund", "mail.send", "report.build", "stock.sync")
QUEUES = ("shop", "mail", "reports", "stock")
STATUSES = ("PENDING", "RETRYING", "RESOLVED", "FAILED", "DISCARDED")
STATUS_SHARES = (40, 1, 50, 4, 5)
KINDS = ("retries_exhausted", "non_retryable", "worker_lost", "breaker_timeout")
KIND_SHARES = (80, 15, 3, 2)
ERRORS = (
    ("requests.exceptions.ConnectionError", "connection refused by {host} after 3 tries"),
    ("builtins.ValueError", "price of item {item} is negative"),
    ("sqlalchemy.exc.OperationalError", "deadlock detected in table orders, process {item}"),
    ("builtins.KeyError", "no field sku in document {item}"),
    ("builtins.TimeoutError", "gateway {host} timed out after 30 s"),
)


@dataclass(frozen=True)
class Records:
    """Rows like those of a shop, the same for the same number; group n is twice as large as group 2n."""

    count: int

    def batches(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        """Records and their views, oldest first."""
        chance = random.Random(7)
        shares = list(accumulate(1 / (number + 1) for number in range(GROUPS)))
        for start in range(0, self.count, BATCH):
            numbers = range(start, min(start + BATCH, self.count))
            pairs = [self._pair(number, chance, shares) for number in numbers]
            yield [record for record, _ in pairs], [view for _, view in pairs]

    def _pair(self, number: int, chance: random.Random, shares: Sequence[float]) -> tuple[Any, Any]:
        (group,) = chance.choices(range(GROUPS), cum_weights=shares)
        (status,) = chance.choices(STATUSES, STATUS_SHARES)
        (kind,) = chance.choices(KINDS, KIND_SHARES)
        task, queue = TASKS[group % 5], QUEUES[group % 4]
        error, words = ERRORS[group // 2 % 5]
        message = words.format(host=f"db{group}", item=chance.randrange(100_000))
        moment = NEWEST - timedelta(seconds=(self.count - number) * 10 - chance.randrange(600))
        dead_id, task_id = str(uuid.UUID(int=chance.getrandbits(128))), str(uuid.UUID(int=chance.getrandbits(128)))
        replays = chance.choices((0, 1, 2, 3), (900, 80, 15, 5))[0]
        arguments = {"customer": chance.randrange(50_000), "currency": chance.choice(("EUR", "USD", "GBP"))}
        view = {"args": [number], "kwargs": arguments, "headers": {"tenant": f"t{group % 40}", "lang": "py"}}
        body = json.dumps([[number], arguments, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
        record = {
            "id": dead_id,
            "status": status,
            "kind": kind,
            "version": 1,
            "replay_no": replays,
            "replays": replays,
            "confirmed_no": None,
            "decided": False,
            "suspect": False,
            "conflict": chance.random() < 0.0005,
            "failures": replays + 1,
            "attempts": 4 * (replays + 1),
            "size": len(body) + chance.randrange(400),
            "first_failed_at": moment - timedelta(minutes=5),
            "last_failed_at": moment,
            "status_at": moment,
            "recorded_at": moment,
            "message_id": task_id,
            "task": task,
            "task_id": task_id,
            "queue": queue,
            "exchange": "",
            "routing_key": queue,
            "exception_type": error,
            "exception_name": error.rpartition(".")[2],
            "worker": f"w{chance.randrange(20)}@host",
            "group_id": f"g{group:03}",
            "content_type": None,
            "content_encoding": None,
            "kept_key": "k",
            "shown_key": "k",
            "message": message,
            "headers": "{}",
            "properties": "{}",
            "traceback": f"Traceback (most recent call last):\n{'  File x' * 40}",
            "body": body.encode(),
            "forgiven": 0,
            "release": f"1.{number * 20 // self.count}.0",
            "body_digest": None,
            "emptied_at": None,
        }
        values = [message, error, task, task_id, number, *arguments.values(), *view["headers"].values()]  # type: ignore[attr-defined]
        shown = {"seq": number + 1, "dead_letter_id": dead_id, "view": json.dumps(view)}
        return record, {**shown, "search_text": " ".join(map(str, values))}


#: What is asked, and as which kind of filter.
FILTERS = (
    ("everything", ""),
    ("one status", "status:PENDING"),
    ("a rare status", "status:RETRYING"),
    ("status list", "status:PENDING,FAILED"),
    ("not a status", "-status:RESOLVED"),
    ("a task", "task:shop.charge"),
    ("task and status", "task:shop.charge status:PENDING"),
    ("tasks by star", "task:shop.*"),
    ("a queue", "queue:stock"),
    ("an exception", "exception:KeyError"),
    ("a large group", "group:g000"),
    ("a small group", "group:g199"),
    ("a host", "host:w7@host"),
    ("a release, long ago", "release:1.0.0"),
    ("either of two fields", "task:mail.send OR kind:worker_lost"),
    ("brackets", "(queue:shop OR queue:mail) -status:RESOLVED attempts:>4"),
    ("an age", "age:>100d"),
    ("times of failure", "failed:2026-09-01..2026-09-02"),
    ("first failure", "first_failed:>=2026-10-31"),
    ("attempts, many", "attempts:>=4"),
    ("attempts, few", "attempts:>=16"),
    ("replays", "replays:2.."),
    ("size, few", "size:>575"),
    ("conflicts", "conflict:true"),
    ("unconfirmed", "unconfirmed:true"),
    ("id", "id:abc"),
    ("header, some", "header.tenant:t7"),
    ("argument, few", "body.customer:4711"),
    ("argument, many", "body.currency:EUR"),
    ("argument, nobody's", "body.customer:nobody"),
    ("text, one", 'text:"item 4711"'),
    ("text, some", "text:db150"),
    ("text, a middling number", "text:db40"),
    ("text, broad", "text:refused"),
    ("text, a broad phrase", 'text:"connection refused by"'),
    ("text, a beginning", "text:dead*"),
    ("text and status", "text:deadlock status:FAILED"),
    ("text, nothing", "text:nowhere"),
)


@dataclass(frozen=True)
class Timing:
    """Milliseconds."""

    first: float
    deep: float
    total: float
    found: str


def fill(engine: Engine, records: Records) -> float:
    """Rows in bulk; indexes and lexemes are made as in service. Returns the seconds."""
    began = time.perf_counter()
    for letters, views in records.batches():
        with engine.begin() as connection:
            connection.execute(table_of(DeadLetterRow).insert(), letters)
            connection.execute(table_of(DeadLetterViewRow).insert(), views)
    return time.perf_counter() - began


def fill_groups(engine: Engine) -> None:
    """A row per group; one in four is acknowledged."""
    rows = []
    for number in range(GROUPS):
        moment = NEWEST - timedelta(seconds=number * 37 % 4000)
        texts = dict.fromkeys(("actor", "reason", "step"), "") | {"parts": "[]", "message": "connection refused"}
        counts = dict.fromkeys(("pending", "retrying", "resolved", "failed", "discarded", "regressions"), 1)
        times = dict.fromkeys(("state_at", "first_failed_at", "last_failed_at"), moment)
        names = {"kind": KINDS[0], "task": TASKS[number % 5], "exception_type": ERRORS[number // 2 % 5][0]}
        state = {"state": "acknowledged" if number % 4 == 0 else "open", "version": 1, "fingerprint_version": 1}
        rows.append({"id": f"g{number:03}", "failures": 9, **texts, **counts, **times, **names, **state})
    with engine.begin() as connection:
        connection.execute(table_of(GroupRow).insert(), rows)


def timings(engine: Engine) -> Iterator[tuple[str, str, Timing]]:
    """Every kind of filter."""
    ledger = Ledger(engine, clock=HeldClock())
    for name, wanted in FILTERS:
        print(name, file=sys.stderr)
        yield name, wanted, timed(engine, ledger, wanted)


def timed(engine: Engine, ledger: Ledger, wanted: str) -> Timing:
    """The first page and one from the middle, each with its total; and the total alone."""
    tree = frozen(parse(wanted), NEWEST)
    first = ledger.find(tree, limit=50)
    middle = _middle(engine)

    def count_alone() -> None:
        with engine.connect() as connection:
            led = leading.lead(connection, tree)
            _ = leading.count(connection, tree) if led is None else leading.all_places(connection, led)

    return Timing(
        milliseconds(lambda: ledger.find(tree, limit=50)),
        milliseconds(lambda: ledger.find(tree, limit=50, cursor=middle)),
        milliseconds(count_alone),
        f"{first.total:,}{'' if first.total_is_exact else '+'}",
    )


def _middle(engine: Engine) -> str:
    """Cursor of a place half way between the oldest and the newest record."""
    row = DeadLetterRow
    with engine.connect() as connection:
        oldest = connection.execute(select(func.min(row.last_failed_at))).scalar_one()
    half = oldest + (NEWEST - oldest) / 2
    return search.write_place(half, "")


def group_timings(engine: Engine) -> Iterator[tuple[str, str, Timing]]:
    """The first page of groups."""
    row = GroupRow
    for name, states in (("groups", ("open", "acknowledged", "regressed")), ("groups of one state", ("open",))):
        query = select(row).where(row.state.in_(states)).order_by(row.last_failed_at.desc(), row.id.desc()).limit(50)
        total = select(func.count()).select_from(row).where(row.state.in_(states))

        def ask(query: Any = query, total: Any = total) -> int:
            with engine.connect() as connection:
                connection.execute(query).all()
                return int(connection.execute(total).scalar_one())

        took = milliseconds(ask)
        yield name, f"state {', '.join(states)}", Timing(took, took, took, f"{ask():,}")


def milliseconds(call: Callable[[], Any]) -> float:
    """The median of some rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
        if took[-1] > BUDGET * 20:
            break
    return median(took)


class HeldClock(SystemClock):
    """A clock that stands where the records end."""

    def now(self) -> datetime:
        """The time of the newest record."""
        return NEWEST


def drawn(title: str, found: Iterable[tuple[str, str, Timing]]) -> Table:
    """The figures beside the budget."""
    table = Table(title=f"{title}; ms, median of {ROUNDS} rounds; budget {BUDGET:.0f} ms", title_justify="left")
    for name in ("kind of filter", "filter"):
        table.add_column(name)
    for name in ("first page + total", "deep page + total", "total alone", "found", "within"):
        table.add_column(name, justify="right")
    for name, wanted, took in found:
        figures = [f"{value:,.1f}" for value in (took.first, took.deep, took.total)]
        within = "yes" if max(took.first, took.deep) <= BUDGET else "NO"
        table.add_row(name, wanted, *figures, took.found, within)
    return table


@contextmanager
def database(kind: str) -> Iterator[str]:
    """URL of an empty database of its own."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="fluxora-bench-") as directory:
            yield f"sqlite:///{Path(directory) / 'ledger.db'}"
        return
    server = PrivatePostgres()
    try:
        yield server.server.url(server.server.create_database())
    finally:
        server.stop()


def main() -> None:
    """Fill, measure, print; judge nothing."""
    options = _parser().parse_args()
    console = Console(width=None if Console().is_terminal else 160)
    console.print(f"{describe()}\n", highlight=False)
    for kind in ("sqlite", "postgresql"):
        if options.kind not in (None, kind):
            continue
        with database(kind) as url:
            measure(console, options.url or url, options.records, is_filled=options.url is not None)


def measure(console: Console, url: str, records: int, *, is_filled: bool) -> None:
    """One database."""
    engine = open_engine(url)
    if not is_filled:
        upgrade(engine)
        took = fill(engine, Records(records))
        fill_groups(engine)
        console.print(f"filled with {records:,} records in {took:.0f} s")
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
    found = itertools.chain(timings(engine), group_timings(engine))
    console.print(drawn(f"{records:,} records on {engine.dialect.name}", found))
    engine.dispose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--sqlite", dest="kind", action="store_const", const="sqlite", help="only this one")
    parser.add_argument("--postgresql", dest="kind", action="store_const", const="postgresql", help="only this one")
    parser.add_argument("--url", help="a ledger that was filled before; it is only read")
    return parser


if __name__ == "__main__":
    main()
