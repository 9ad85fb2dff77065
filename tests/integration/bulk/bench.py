"""An operator and an executor over one ledger, and a recount of what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from fluxora_tasks.bulk.operation import Kind, Operation, Pace, Progress, Selector
from fluxora_tasks.bulk.store import Operations
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.deadletter.envelope import DeadLetter
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.ledger.models import AuditEventRow, OperationItemRow, OutboxRow
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import rows
from tests.letters import START, letter, success

ADA = Actor("ada", "the cause is fixed")
EVERYTHING = Selector(all=True)


def same(number: int) -> Fingerprint:
    """What failures of one cause have in common."""
    return Fingerprint("frame", ("type=builtins.ValueError", f"at=demand.step{number}"))


class Bench:
    """
    Attributes:
        executor: Name under which ``work`` holds the lease.
        by_id: The dead letters that were recorded.
    """

    executor = "executor-1"

    def __init__(self, engine: Engine, ledger: Ledger, clock: HeldClock) -> None:
        self.engine, self.ledger, self.clock = engine, ledger, clock
        self.operations = Operations(engine, clock)
        self.work = Work(engine, self.executor, clock)
        self.work.hold_lease(3600)
        self.by_id: dict[str, DeadLetter] = {}

    def record(self, count: int, *, name: str = "m", at: float = 0.0, **changes: Any) -> list[DeadLetter]:
        """Dead letters, one second apart."""
        changes.setdefault("fingerprint", same(1))
        notes = [letter(f"{name}{number}", at=at + number, **changes) for number in range(count)]
        self.ledger.ingest(notes)
        self.by_id |= {note.dead_id: note for note in notes}
        return notes

    def plan(self, kind: Kind = Kind.REPLAY, selector: Selector = EVERYTHING, pace: Pace | None = None) -> Operation:
        """A plan of ada's."""
        return self.operations.plan(kind, selector, pace or Pace(rate=1000), ADA)

    def start(self, kind: Kind = Kind.REPLAY, selector: Selector = EVERYTHING, pace: Pace | None = None) -> str:
        """A running operation with all its items."""
        operation = self.operations.start(self.plan(kind, selector, pace).id, ADA)
        while not self.work.get(operation.id).listed_all:
            self.work.list_more(operation.id)
        return operation.id

    def issue(self, operation_id: str, count: int = 500) -> Sequence[Claim]:
        """Claim the next records."""
        return self.work.issue(operation_id, count, self.work.get(operation_id).progress or Progress())

    def answer(self, claim: Claim, *, failed: bool = False, **changes: Any) -> None:
        """A worker tells of the end of a replay."""
        self.ledger.ingest([self.told(claim, failed=failed, **changes)])

    def told(self, claim: Claim, *, failed: bool = False, **changes: Any) -> Any:
        """What a worker would tell of the end of a replay."""
        message_id = claim.payload.headers["fx_message_id"]
        at = (self.clock.now() - START).total_seconds()
        fields = {"dead_id": claim.dead_id, "fingerprint": same(1), **changes}
        note = letter(message_id, run=f"run{claim.replay_no}", replay_no=claim.replay_no, at=at, **fields)
        return note if failed else success(note, claim.replay_no, run=note.run_id, at=at)

    def outcomes(self, operation_id: str) -> dict[tuple[str, str], int]:
        """Records by outcome and why."""
        return self.operations.outcomes(operation_id)

    def items(self, operation_id: str) -> list[dict[str, Any]]:
        """Rows of an operation."""
        return rows(self.engine, OperationItemRow, operation_id=operation_id)

    def recount(self, operation_id: str) -> dict[str, int]:
        """The counters of an operation, as its items say."""
        found = Counter(item["outcome"] for item in self.items(operation_id))
        skipped, failed = found["skipped"], found["failed_again"] + found["publish_failed"]
        succeeded = found["succeeded"] + found["done"]
        known = skipped + failed + succeeded + found["unconfirmed"]
        issued = known - skipped + found["issued"]
        total = sum(found.values())
        return {
            "total": total,
            "issued": issued,
            "known": known,
            "succeeded": succeeded,
            "failed": failed,
            "skipped": skipped,
        }

    def counters(self, operation_id: str) -> dict[str, int]:
        """The counters of an operation, as kept."""
        operation = self.operations.get(operation_id)
        names = ("total", "issued", "known", "succeeded", "failed", "skipped")
        return {name: getattr(operation, name) for name in names}

    def trail(self, operation_id: str) -> list[tuple[str, str | None, str]]:
        """Changes of an operation's state in the audit: event, from, to."""
        found = rows(self.engine, AuditEventRow, operation_id=operation_id)
        return [
            (row["event"], row["from_status"], row["to_status"])
            for row in found
            if row["event"].startswith("operation_")
        ]

    def events(self, operation_id: str) -> list[str]:
        """Events told of an operation."""
        return [row["event"] for row in rows(self.engine, OutboxRow, subject=operation_id)]
