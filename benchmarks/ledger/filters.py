"""Pages of records, filter by filter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, func, select

from benchmarks.ledger.filling import NEWEST
from benchmarks.ledger.timing import PageTiming, milliseconds
from fluxora_tasks.ledger import leading
from fluxora_tasks.ledger.cursors import write_cursor
from fluxora_tasks.ledger.filters import frozen, parse
from fluxora_tasks.ledger.models import DeadLetterRow
from fluxora_tasks.ledger.repository import Ledger

#: What is asked, and as which kind of filter.
FILTERS: Final = (
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
    ("a large group", "group:g0000"),
    ("a small group", "group:g0199"),
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


def timings(engine: Engine, ledger: Ledger) -> Iterator[PageTiming]:
    """Every kind of filter."""
    for name, wanted in FILTERS:
        yield _timed(engine, ledger, name, wanted)


def _timed(engine: Engine, ledger: Ledger, name: str, wanted: str) -> PageTiming:
    tree = frozen(parse(wanted), NEWEST)
    first = ledger.find(tree, limit=50)
    middle = _middle(engine, ledger)

    def count_alone() -> None:
        with engine.connect() as connection:
            led = leading.lead(connection, tree)
            _ = leading.count(connection, tree) if led is None else leading.all_places(connection, led)

    return PageTiming(
        name,
        wanted,
        first=milliseconds(lambda: ledger.find(tree, limit=50)),
        deep=milliseconds(lambda: ledger.find(tree, limit=50, cursor=middle)),
        total=milliseconds(count_alone),
        found=f"{first.total:,}{'' if first.total_is_exact else '+'}",
    )


def _middle(engine: Engine, ledger: Ledger) -> str:
    """Cursor of a record half way between the oldest and the newest."""
    row = DeadLetterRow
    with engine.connect() as connection:
        oldest = connection.execute(select(func.min(row.last_failed_at))).scalar_one()
    half = oldest + (NEWEST - oldest) / 2
    letter = ledger.find(parse(f"failed:<={half.isoformat()}"), limit=1).letters[0]
    return write_cursor(letter.last_failed_at, letter.id)
