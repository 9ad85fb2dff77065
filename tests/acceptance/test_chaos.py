"""Whoever is killed, and however often: every message ends as a success or in the ledger.

The parts of one machine, started by ``Stack``; with the embedded Valkey, that dies with the others. Runs in which
servers go away and come back are in ``test_accounting``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from celery import Celery

from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.ledger.database import open_engine
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.settings import Settings
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.chaos]

ROUNDS, MESSAGES = (40, 200) if os.environ.get("FLUXORA_TEST_CHAOS") == "long" else (5, 60)
PARTS = ("worker", "recorder", "everything")


@pytest.fixture(params=["rabbitmq", "embedded"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "embedded":
        return Settings(state_dir=tmp_path, base_delay=0.2)
    broker_url, store = request.getfixturevalue("vhost_url"), request.getfixturevalue("store")
    return Settings(state_dir=tmp_path, base_delay=0.2, broker_url=broker_url, redis_url=store.state_url())


def test_no_message_is_lost_by_kills(settings: Settings, tmp_path: Path) -> None:
    """In every round some part dies while messages run, and the system is started again."""
    random = Random(7)
    trace, sent = tmp_path / "trace", set[int]()
    for number in range(ROUNDS):
        with running(settings) as stack:
            wanted = len(lines(trace)) + random.randrange(MESSAGES // 2)
            broker_url = stack.environment["FLUXORA_BROKER_URL"]
            sent |= send(broker_url, range(number * MESSAGES, (number + 1) * MESSAGES), trace)
            wait_until(partial(has_grown, trace, wanted), 60, "some messages have run")
            kill(stack, PARTS[number % len(PARTS)])
    dead = {number for number in sent if number % 7 == 0}
    with running(settings) as stack:
        letters = dead_letters(stack)
        with suppress(AssertionError):  # what is missing is said below
            wait_until(lambda: sent <= set(lines(trace)) | numbers(letters), 120)
        assert set(lines(trace)) == sent - dead
        assert numbers(letters) == dead
        assert letters.list().total == len(dead), "what runs twice is recorded once"


@contextmanager
def running(settings: Settings) -> Iterator[Stack]:
    """A stack without Flower for the block."""
    stack = Stack(settings, app="tests.apps.counting")
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def send(broker_url: str, numbers: range, trace: Path) -> set[int]:
    """Send every number, confirmed by the broker."""
    producer = Celery(broker=broker_url)
    producer.conf.broker_transport_options = {"confirm_publish": True}
    for number in numbers:
        producer.send_task("tests.apps.counting.count", (number, str(trace)), ignore_result=True)
    return set(numbers)


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
