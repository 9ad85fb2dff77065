"""What a producer wrote is what stands in the ledger and what a replay sends: byte for byte, through real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.filters import EVERYTHING
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.brokers import channel_of, take
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"
ADA = Actor("ada", "is it mended?")


def nested(depth: int) -> Any:
    """A list in a mapping in a list in …"""
    return [{"deeper": nested(depth - 1), "é": depth}] if depth else "電"


#: A megabyte, forty levels, every plane of Unicode, numbers JSON has and those only Python's JSON has.
HARD = (
    "Überlänge 電力 🔌 " * 50_000,
    nested(40),
    {"": None, "\u2028\x00\x7f": "\ud7ff\ue000\U0010ffff", "fx_message_id": "not a header"},
    [0.1, -0.0, 1e308, 5e-324, 1e16, float("inf"), 2**100, -(2**64), True],
)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("store_url" if request.param == "redis" else "vhost_url"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    upgrade(engine)
    with closing(Ledger(engine)) as opened:
        yield opened


def waiting(url: str) -> tuple[bytes, str, str]:
    """Body, content type and encoding of the one message in the queue, which stays there."""
    with channel_of(url) as channel:
        raw = wait_until(lambda: channel.basic_get("celery"))
        message = raw if hasattr(raw, "reject") else channel.message_to_python(raw)
        message.requeue()
        return seen(message)


def seen(message: Any) -> tuple[bytes, str, str]:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return body, message.content_type, message.content_encoding


def test_arguments_of_every_kind_come_back_byte_for_byte(
    broker_url: str, store: StoreServer, ledger: Ledger, celery_processes: CeleryProcesses, tmp_path: Path
) -> None:
    """In the ledger after two replays that failed, and in the queue after a third."""
    environment = {
        "FLUXORA_BROKER_URL": broker_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
    }
    repair = tmp_path / "never"
    Celery(broker=broker_url, set_as_current=False).send_task("fails_until_repaired", (str(repair), *HARD))
    original = waiting(broker_url)
    assert len(original[0]) > 1_000_000

    worker = celery_processes.worker(APP, environment, "--concurrency", "1")
    celery_processes.recorder(APP, environment)
    (dead_id,) = wait_until(lambda: ledger.select(EVERYTHING, limit=10), 30, "a dead letter")
    letters = DeadLetters(ledger, lambda: Connection(broker_url))

    def failed_again(number: int) -> bool:
        story = ledger.story(dead_id)
        assert story is not None
        return story.letter.status == Status.PENDING and len(story.attempts) == number + 1

    for number in (1, 2):
        assert letters.replay([dead_id], ADA)[0].outcome == "done"
        wait_until(lambda number=number: failed_again(number), 30, f"failure of replay {number}")
    story = ledger.story(dead_id)
    assert story is not None
    assert (story.payload.body, story.payload.content_type, story.payload.content_encoding) == original
    assert json.loads(story.payload.body)[0] == [str(repair), *HARD]

    assert worker.stop(wait=20) == 0
    letters.replay([dead_id], ADA)
    (sent,) = take(broker_url, "celery")
    assert seen(sent) == original
