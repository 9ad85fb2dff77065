"""An executor and a real broker, with workers that the test plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.bulk.operation import Operation
from fluxora_tasks.deadletter.identity import DEAD_ID, REPLAY_NO
from tests.integration.bulk.bench import Bench, same
from tests.integration.ledger.brokers import take
from tests.letters import letter, success

#: Steps in which everything is over; the test's clock moves on between them.
MOST = 500


@dataclass
class Around:
    """Surroundings as the test wants them."""

    said_of_breaker: str | None = None
    said_of_queue: str | None = None
    behind: float | None = None
    closed: int = 0
    asked: list[str] = field(default_factory=list)

    def breaker(self, task: str) -> str | None:
        """As set."""
        self.asked.append(task)
        return self.said_of_breaker

    def away(self, queue: str) -> str | None:
        """As set."""
        return self.said_of_queue

    def lag(self) -> float | None:
        """As set."""
        return self.behind

    def close(self) -> None:
        """Count."""
        self.closed += 1


@dataclass
class Shop:
    """An executor, its broker, and workers that the test plays."""

    bench: Bench
    url: str
    executor: Executor
    around: Around
    taken: list[Any] = field(default_factory=list)
    most_in_flight: int = 0

    def step(self, ends: Callable[[Any], bool | None]) -> None:
        """One step of the executor; ``ends`` says of each message whether it fails, ``None``: nothing is heard."""
        self.executor.step()
        for message in take(self.url):
            self.taken.append(message)
            failed = ends(message)
            if failed is not None:
                self.answer(message.headers, failed=failed)
        self.bench.clock.advance(0.3)

    def until_over(self, id: str, ends: Callable[[Any], bool | None]) -> Operation:
        """Step until the operation has ended."""
        for _ in range(MOST):
            self.step(ends)
            operation = self.bench.operations.get(id)
            self.most_in_flight = max(self.most_in_flight, operation.in_flight)
            if operation.is_over:
                assert self.bench.counters(id) == self.bench.recount(id)
                return operation
        raise AssertionError(self.bench.operations.get(id))

    def answer(self, headers: dict[str, Any], *, failed: bool, **changes: Any) -> None:
        """A worker tells of the end of a message."""
        note, number = self.bench.by_id[headers[DEAD_ID]], headers[REPLAY_NO]
        changes = {"run": f"run{number}", "replay_no": number, "at": 1000.0, "fingerprint": same(1)} | changes
        again = letter(note.message_id, **changes)
        self.bench.ledger.ingest([again if failed else success(again, number, at=1000.0)])


def succeeds(message: Any) -> bool:
    """The cause is fixed."""
    return False


def fails(message: Any) -> bool:
    """The cause is not fixed."""
    return True
