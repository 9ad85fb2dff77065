"""Whatever is killed, and however often: every message ends as a success or in the ledger."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.ledger.database import open_engine
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.settings import Settings
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.chaos]

ROUNDS, MESSAGES = (40, 200) if os.environ.get("FLUXORA_TEST_CHAOS") == "long" else (5, 60)
PARTS = ("worker", "recorder", "store", "worker", "everything")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short directory: pytest's own paths are near the limit of a socket's."""
    directory = Path(tempfile.mkdtemp(prefix="fluxora-test-"))
    yield directory / "state"
    shutil.rmtree(directory)


def test_no_message_is_lost_by_kills(state_dir: Path) -> None:
    """In every round some part dies while messages run, and the system is started again."""
    random = Random(7)
    settings = Settings(state_dir=state_dir, base_delay=0.2)
    trace, sent = state_dir / "trace", set[int]()
    for number in range(ROUNDS):
        with running(settings) as stack:
            wanted = len(lines(trace)) + random.randrange(MESSAGES // 2)
            sent |= send(stack.environment, range(number * MESSAGES, (number + 1) * MESSAGES), trace)
            wait_until(partial(has_grown, trace, wanted), 60, "some messages have run")
            kill(stack, PARTS[number % len(PARTS)])
    with running(settings) as stack:
        letters = dead_letters(stack)
        expected_dead = {number for number in sent if number % 7 == 0}
        wait_until(lambda: sent - expected_dead <= set(lines(trace)), 120, "every success")
        wait_until(lambda: numbers(letters) >= expected_dead, 60, "every dead letter")
        assert numbers(letters) == expected_dead
        assert letters.list().total == len(expected_dead)
    assert set(lines(trace)) == sent - expected_dead


@contextmanager
def running(settings: Settings) -> Iterator[Stack]:
    """A stack without Flower for the block."""
    stack = Stack(settings, app="tests.apps.counting")
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def send(environment: Mapping[str, str], numbers: range, trace: Path) -> set[int]:
    """The numbers whose publish did not raise: those the promise is about."""
    producer = Celery(broker=environment["FLUXORA_BROKER_URL"])
    accepted = set()
    for number in numbers:
        try:
            producer.send_task("tests.apps.counting.count", (number, str(trace)), ignore_result=True)
        except OperationalError:
            continue
        accepted.add(number)
    return accepted


def kill(stack: Stack, part: str) -> None:
    """SIGKILL, without a word before."""
    for name, pid in stack.pids.items():
        if part in (name, "everything"):
            os.kill(pid, signal.SIGKILL)
    assert stack.wait() is not None


def has_grown(trace: Path, length: int) -> bool:
    return len(lines(trace)) >= length


def lines(trace: Path) -> list[int]:
    return [int(line) for line in trace.read_text().split()] if trace.exists() else []


def dead_letters(stack: Stack) -> DeadLetters:
    ledger = Ledger(open_engine(stack.environment["FLUXORA_LEDGER_URL"]))
    return DeadLetters(ledger, lambda: pytest.fail("nothing is replayed here"))


def numbers(letters: DeadLetters) -> set[int]:
    """The first argument of every dead letter."""
    return {args[0] for dead_id in letters.select("") if (args := letters.get(dead_id).args)}
