"""What a run does, drawn from its seed (pure): the same seed gives the same tasks and the same faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Final

#: Percent of the tasks.
_DOOMED, _RETRYING, _DELAYED = 10, 10, 5

_LONGEST_NAP: Final = 0.05


class Fault(StrEnum):
    """What may befall the system."""

    CHILD = "a child of a worker is killed"
    WORKER = "a worker's main process is killed"
    BROKER = "the broker is killed and started again"
    BROKER_POLITE = "the broker is stopped and started again"
    STORE = "the Redis of state and results is killed and started again"
    RECORDER = "the recorder is killed"
    LEDGER = "the ledger is away for some seconds"
    WORKERS_BROKERLESS = "both workers are killed while the broker is away"
    RECORDER_LEDGERLESS = "the recorder is killed while the ledger is away"


@dataclass(frozen=True, slots=True)
class Job:
    """One message.

    Attributes:
        number: Its place among all; its task id is made of it.
        seconds: Its body sleeps so long.
        failures: Runs that fail for a transient reason before one succeeds.
        doomed: It fails for good.
        countdown: Seconds to wait before its first run; 0: none.
    """

    number: int
    seconds: float
    failures: int = 0
    doomed: bool = False
    countdown: float = 0.0

    @property
    def task_id(self) -> str:
        """Celery's id of the task."""
        return f"job-{self.number}"

    @property
    def arguments(self) -> list[Any]:
        """Positional arguments of the task."""
        return [self.number, self.seconds, self.failures, self.doomed]


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault, when so many runs have begun.

    Attributes:
        after: Runs begun.
        fault: What is done.
        choice: From 0 to 1: picks the process, or the seconds.
    """

    after: int
    fault: Fault
    choice: float


def jobs(seed: int, count: int) -> Sequence[Job]:
    """The messages of a run."""
    random = Random(seed)
    return [_job(random, number) for number in range(count)]


def _job(random: Random, number: int) -> Job:
    percent = random.randrange(100)
    doomed, retrying = percent < _DOOMED, _DOOMED <= percent < _DOOMED + _RETRYING
    return Job(
        number,
        seconds=round(random.uniform(0, _LONGEST_NAP), 4),
        failures=random.choice((1, 2)) if retrying else 0,
        doomed=doomed,
        countdown=round(random.uniform(1, 4), 1) if random.randrange(100) < _DELAYED else 0.0,
    )


def blows(seed: int, count: int, faults: Sequence[Fault]) -> Sequence[Blow]:
    """The faults, shuffled and spread over the run: none before its first tenth, none in its last."""
    random = Random(f"{seed} faults")
    shuffled = random.sample(list(faults), len(faults))
    moments = sorted(random.randrange(count // 10, 9 * count // 10) for _ in faults)
    return [Blow(after, fault, round(random.random(), 3)) for after, fault in zip(moments, shuffled, strict=True)]
