"""A ledger like that of a shop, the same for the same number of records."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import Engine, text

from fluxora_tasks.bulk.operation import Pace, Plan, Progress, Selector
from fluxora_tasks.ledger.models import (
    AuditEventRow,
    DeadAttemptRow,
    DeadLetterRow,
    DeadLetterViewRow,
    GroupRow,
    OperationItemRow,
    OperationRow,
    table_of,
)

#: When the newest record failed; one every ten seconds before that, about.
NEWEST: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)

#: Groups at most, and bulk operations; every tenth record is an item of the newest of them.
GROUPS: Final = 5000
OPERATIONS: Final = 1000
OPERATION: Final = f"op{OPERATIONS - 1:04}"

_BATCH: Final = 5000

TASKS: Final = ("shop.charge", "shop.refund", "mail.send", "report.build", "stock.sync")
QUEUES: Final = ("shop", "mail", "reports", "stock")
STATUSES: Final = ("PENDING", "RETRYING", "RESOLVED", "FAILED", "DISCARDED")
_STATUS_SHARES: Final = (40, 1, 50, 4, 5)
KINDS: Final = ("retries_exhausted", "non_retryable", "worker_lost", "breaker_timeout")
_KIND_SHARES: Final = (80, 15, 3, 2)
ERRORS: Final = (
    ("requests.exceptions.ConnectionError", "connection refused by {host} after 3 tries"),
    ("builtins.ValueError", "price of item {item} is negative"),
    ("sqlalchemy.exc.OperationalError", "deadlock detected in table orders, process {item}"),
    ("builtins.KeyError", "no field sku in document {item}"),
    ("builtins.TimeoutError", "gateway {host} timed out after 30 s"),
)
TRACEBACK: Final = f"Traceback (most recent call last):\n{'  File x' * 40}"

Row = dict[str, Any]


def fill(engine: Engine, count: int) -> float:
    """Rows of every table in bulk; indexes and lexemes are made as in service. Returns the seconds."""
    began = time.perf_counter()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with engine.begin() as connection:
        connection.execute(table_of(OperationRow).insert(), list(_operations(count)))
    for batch in _batches(count):
        for record in batch[DeadLetterRow]:
            counts[record["group_id"]][record["status"].lower()] += 1
        with engine.begin() as connection:
            for model, rows in batch.items():
                connection.execute(table_of(model).insert(), rows)
    with engine.begin() as connection:
        connection.execute(table_of(GroupRow).insert(), [_group(name, counts[name]) for name in sorted(counts)])
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    return time.perf_counter() - began


def _batches(count: int) -> Iterator[dict[type, list[Row]]]:
    """Rows by table, oldest first; group n is twice as large as group 2n."""
    chance = random.Random(7)
    shares = list(accumulate(1 / (number + 1) for number in range(GROUPS)))
    for start in range(0, count, _BATCH):
        rows: dict[type, list[Row]] = {
            model: [] for model in (DeadLetterRow, DeadLetterViewRow, DeadAttemptRow, AuditEventRow, OperationItemRow)
        }
        for number in range(start, min(start + _BATCH, count)):
            record = _record(number, count, chance, shares)
            rows[DeadLetterRow].append(record)
            rows[DeadLetterViewRow].append(_view(number, record, chance))
            rows[DeadAttemptRow].append(_attempt(number, record))
            rows[AuditEventRow].extend(_audits(record))
            if number % 10 == 0:
                rows[OperationItemRow].append(_item(number // 10 + 1, record))
        yield rows


def _record(number: int, count: int, chance: random.Random, shares: Sequence[float]) -> Row:
    (group,) = chance.choices(range(GROUPS), cum_weights=shares)
    (status,) = chance.choices(STATUSES, _STATUS_SHARES)
    (kind,) = chance.choices(KINDS, _KIND_SHARES)
    error, words = ERRORS[group // 2 % 5]
    moment = NEWEST - timedelta(seconds=(count - number) * 10 - chance.randrange(600))
    dead_id, task_id = str(uuid.UUID(int=chance.getrandbits(128))), str(uuid.UUID(int=chance.getrandbits(128)))
    replays = chance.choices((0, 1, 2, 3), (900, 80, 15, 5))[0]
    body = json.dumps([[number], {"currency": "EUR"}, {"callbacks": None, "errbacks": None, "chain": None}])
    return {
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
        "task": TASKS[group % 5],
        "task_id": task_id,
        "queue": QUEUES[group % 4],
        "exchange": "",
        "routing_key": QUEUES[group % 4],
        "exception_type": error,
        "exception_name": error.rpartition(".")[2],
        "worker": f"w{chance.randrange(20)}@host",
        "group_id": f"g{group:04}",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "kept_key": "k",
        "shown_key": "k",
        "message": words.format(host=f"db{group}", item=chance.randrange(100_000)),
        "headers": json.dumps({"id": task_id, "task": TASKS[group % 5], "lang": "py", "root_id": task_id}),
        "properties": json.dumps({"correlation_id": task_id, "delivery_mode": 2}),
        "traceback": TRACEBACK,
        "body": body.encode(),
        "forgiven": 0,
        "release": f"1.{number * 20 // count}.0",
        "body_digest": None,
        "emptied_at": None,
    }


def _view(number: int, record: Row, chance: random.Random) -> Row:
    arguments = {"customer": chance.randrange(50_000), "currency": chance.choice(("EUR", "USD", "GBP"))}
    tenant = f"t{int(record['group_id'][1:]) % 40}"
    view = {"args": [number], "kwargs": arguments, "headers": {"tenant": tenant, "lang": "py"}}
    found = (record["message"], record["exception_type"], record["task"], record["task_id"], number, tenant)
    return {
        "dead_letter_id": record["id"],
        "view": json.dumps(view),
        "search_text": " ".join(map(str, (*found, *arguments.values(), "py"))),
    }


def _attempt(number: int, record: Row) -> Row:
    same = ("replay_no", "attempts", "kind", "exception_type", "worker", "message", "traceback", "group_id")
    return {
        **{name: record[name] for name in same},
        "failure_id": f"f{number:08}",
        "dead_letter_id": record["id"],
        "failed_at": record["last_failed_at"],
        "trimmed": False,
        "run_id": record["task_id"],
    }


def _audits(record: Row) -> Iterator[Row]:
    changes: list[tuple[str, str | None, str, str]] = [("failed", None, "PENDING", "worker")]
    if record["status"] != "PENDING":
        changes.append((record["status"].lower(), "PENDING", record["status"], "anna"))
    for event, before, after, actor in changes:
        yield {
            "at": record["status_at"],
            "dead_letter_id": record["id"],
            "event": event,
            "from_status": before,
            "to_status": after,
            "replay_no": record["replay_no"],
            "actor": actor,
            "source": "cli",
            "reason": "",
            "detail": "",
            "operation_id": OPERATION if actor == "anna" else None,
            "group_id": record["group_id"],
        }


def _item(seq: int, record: Row) -> Row:
    return {
        "operation_id": OPERATION,
        "seq": seq,
        "dead_letter_id": record["id"],
        "outcome": "failed_again" if record["status"] == "FAILED" else "succeeded",
        "why": "same" if record["status"] == "FAILED" else "",
        "replay_no": 1,
        "changed_at": record["status_at"],
        "group_id": record["group_id"],
        "new_group_id": None,
        "detail": "",
    }


def _operations(count: int) -> Iterator[Row]:
    for number in range(OPERATIONS):
        moment = NEWEST - timedelta(hours=OPERATIONS - number)
        total = count // 10 if number == OPERATIONS - 1 else 0
        yield {
            "id": f"op{number:04}",
            "kind": "replay",
            "state": "completed",
            "version": 3,
            "selector": Selector(filter="status:PENDING").written(),
            "plan": Plan().written(),
            "pace": Pace().written(),
            "progress": Progress().written(),
            "actor": "anna",
            "source": "cli",
            "reason": "the gateway is back",
            "listed_all": True,
            **dict.fromkeys(("cutoff_at", "planned_at", "expires_at", "state_at", "started_at", "ended_at"), moment),
            **dict.fromkeys(("detail", "hold", "held_by", "listed_key"), ""),
            **dict.fromkeys(("planned", "total", "issued", "known", "succeeded"), total),
            **dict.fromkeys(("failed", "skipped"), 0),
        }


def _group(name: str, counts: Counter[str]) -> Row:
    """One in four is acknowledged."""
    number = int(name[1:])
    moment = NEWEST - timedelta(seconds=number * 37 % 4000)
    error, words = ERRORS[number // 2 % 5]
    return {
        "id": name,
        "state": "acknowledged" if number % 4 == 0 else "open",
        "version": 1,
        "fingerprint_version": 1,
        "step": "frame",
        "parts": json.dumps([f"type={error}", "at=shop.orders.charge"]),
        "failures": sum(counts.values()),
        "regressions": 0,
        "kind": KINDS[0],
        "task": TASKS[number % 5],
        "exception_type": error,
        "message": words.format(host=f"db{number}", item=number),
        **{status.lower(): counts[status.lower()] for status in STATUSES},
        **dict.fromkeys(("state_at", "first_failed_at", "last_failed_at"), moment),
        **dict.fromkeys(("actor", "reason"), ""),
    }
