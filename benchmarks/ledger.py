"""``python -m benchmarks.ledger``: how long the pages of a large ledger take, filter by filter, beside the budget."""

from __future__ import annotations

import argparse
import io
import json
import random
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks.machine import describe
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.models import DeadLetterRow, DeadLetterViewRow, GroupRow, table_of
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
            **{"status": status, "kind": kind, "version": 1, "replay_no": replays, "replays": replays},
            **{"confirmed_no": None, "decided": False, "suspect": False, "conflict": chance.random() < 0.0005},
            **{"failures": replays + 1, "attempts": 4 * (replays + 1), "size": len(body) + chance.randrange(400)},
            **{"first_failed_at": moment - timedelta(minutes=5), "last_failed_at": moment, "status_at": moment},
            **{"recorded_at": moment, "message_id": task_id, "task": task, "task_id": task_id, "queue": queue},
            **{"exchange": "", "routing_key": queue, "exception_type": error},
            "exception_name": error.rpartition(".")[2],
            **{"worker": f"w{chance.randrange(20)}@host", "group_id": f"g{group:03}", "content_type": None},
            **{"content_encoding": None, "kept_key": "k", "shown_key": "k", "message": message, "headers": "{}"},
            **{"properties": "{}", "traceback": f"Traceback (most recent call last):\n{'  File x' * 40}"},
            **{"body": body.encode(), "forgiven": 0, "release": f"1.{number * 20 // self.count}.0"},
            **{"body_digest": None, "emptied_at": None},
        }
        values = [message, error, task, task_id, number, *arguments.values(), *view["headers"].values()]  # type: ignore[attr-defined]
        shown = {"seq": number + 1, "dead_letter_id": dead_id, "view": json.dumps(view)}
        return record, {**shown, "search_text": " ".join(map(str, values))}


def fill(engine: Engine, records: Records) -> float:
    """Rows in bulk; indexes and lexemes are made as in service. Returns the seconds."""
    began = time.perf_counter()
    for letters, views in records.batches():
        with engine.begin() as connection:
            connection.execute(table_of(DeadLetterRow).insert(), letters)
            connection.execute(table_of(DeadLetterViewRow).insert(), views)
    return time.perf_counter() - began
