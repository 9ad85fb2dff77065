"""Processes that end themselves by SIGKILL before a step: a statement, a commit, or a write to the broker.

What happens between two steps leaves no trace outside the process, so killing before each step is killing everywhere.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import amqp.transport
import redis.connection
from kombu import Connection
from sqlalchemy import Engine, event

from fluxora_tasks.bulk import executor as bulk_executor
from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp, recorder_transport_options
from fluxora_tasks.ledger.database import open_engine
from fluxora_tasks.ledger.recorder import Recorder
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.records import Actor

DEAD = "fluxora.dead"

#: Seconds after which another one may go on where a killed one was, and between two looks whether it may.
LEASE = 0.5
_LOOK = 0.1


@dataclass(frozen=True)
class Place:
    """Where a process works."""

    broker_url: str
    ledger_url: str


class Nothing:
    """Surroundings in which nothing is in the way."""

    def breaker(self, task: str) -> str | None:
        return None

    def away(self, queue: str) -> str | None:
        return None

    def lag(self) -> float | None:
        return None

    def close(self) -> None: ...


def record(place: Place, before: int, stop: Any, steps: Any) -> None:
    """A recorder."""
    taken = _counted(before)
    recorder_of(place, Ledger(open_engine(place.ledger_url)), sweep=lambda: None).run(stop)
    steps.put(taken)


def execute(place: Place, before: int, stop: Any, steps: Any) -> None:
    """An executor of bulk operations."""
    taken = _counted(before)
    executor_of(place, f"killed-{os.getpid()}").run(stop)
    steps.put(taken)


def replay(place: Place, before: int, dead_id: str, steps: Any) -> None:
    """An operator's replay of one record."""
    taken = _counted(before)
    ledger = Ledger(open_engine(place.ledger_url))
    (result,) = DeadLetters(ledger, lambda: Connection(place.broker_url)).replay([dead_id], Actor("ada", "now"))
    assert result.outcome == "done", result
    steps.put(taken)


def recorder_of(place: Place, ledger: Ledger, **options: Any) -> Recorder:
    """A recorder that takes back at once what a killed one held."""
    template = Connection(place.broker_url, connect_timeout=2)
    amqp = is_amqp(template)
    options_of_transport = recorder_transport_options({}, amqp=amqp) | ({} if amqp else {"visibility_timeout": 0})
    connection = template.clone(transport_options=options_of_transport)
    return Recorder(connection, dead_letter_queue(DEAD, DEAD, amqp=amqp), ledger, **options)


def executor_of(place: Place, name: str) -> Executor:
    """An executor whose lease is short."""
    bulk_executor.LEASE, bulk_executor._STANDBY = LEASE, _LOOK  # type: ignore[misc]
    engine = open_engine(place.ledger_url)
    return Executor(Ledger(engine), Work(engine, name), lambda: Connection(place.broker_url), Nothing())


def _counted(before: int) -> list[str]:
    """From now on the main thread counts its steps, and the process ends before that one; 0: never."""
    taken: list[str] = []

    def step(name: str) -> None:
        if threading.current_thread() is threading.main_thread():
            taken.append(name)
            if len(taken) == before:
                os.kill(os.getpid(), signal.SIGKILL)

    @event.listens_for(Engine, "before_cursor_execute")
    def statement(_: Any, __: Any, sql: str, *___: Any) -> None:
        step(" ".join(sql.split()[:3]))

    @event.listens_for(Engine, "commit")
    def commit(_: Any) -> None:
        step("commit")

    _before(amqp.transport._AbstractTransport, "write", lambda: step("AMQP"))
    _before(redis.connection.AbstractConnection, "send_packed_command", lambda: step("Redis"))
    return taken


def _before(cls: Any, name: str, act: Callable[[], None]) -> None:
    original = getattr(cls, name)

    def acting(self: Any, *args: Any, **kwargs: Any) -> Any:
        act()
        return original(self, *args, **kwargs)

    setattr(cls, name, acting)
