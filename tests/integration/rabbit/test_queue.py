"""queue(), the safety net of RabbitMQ, and what falls into it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue

from fluxora_tasks.clock import SystemClock
from fluxora_tasks.deadletter.envelope import DeadLetter, Kind
from fluxora_tasks.deadletter.identity import dead_id_for
from fluxora_tasks.deadletter.rewrite import rewrite
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.native import broker_dead_letter
from fluxora_tasks.queues import queue
from tests.integration.rabbit.broker import Broker, app_on, payload_of
from tests.servers import PrivateRabbit
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

BODY = b'[ ["a \xe2\x82\xac"], {}, {} ]'
HEADERS = {"task": "demand.ingest", "id": "the-id", "custom": "kept", "retries": 2}


def send(broker: Broker, name: str, **options: Any) -> None:
    headers = {**HEADERS, **options.pop("headers", {})}
    broker.send(name, BODY, content_type="application/json", content_encoding="utf-8", headers=headers, **options)


def died(broker: Broker) -> DeadLetter:
    """What the recorder makes of the next message of the dead-letter queue."""
    letter = broker_dead_letter(payload_of(broker.take("fluxora.dead")), now=SystemClock().now())
    assert letter is not None
    return letter


def return_until_gone(broker: Broker, name: str) -> int:
    """Take a message and put it back until the broker has had enough; returns how often."""
    returned = 0

    def given_up() -> bool:
        nonlocal returned
        message = broker.find(name)
        if message is not None:
            message.reject(requeue=True)
            returned += 1
        return broker.count("fluxora.dead") == 1

    wait_until(given_up, what="the broker gives the message up")
    return returned


def test_a_message_returned_too_often_is_kept(broker: Broker) -> None:
    """The delivery limit, with the original bytes, headers and queue."""
    broker.declare(queue("demand", delivery_limit=3))
    send(broker, "demand")

    assert return_until_gone(broker, "demand") == 4

    letter = died(broker)
    assert (letter.kind, letter.queue, letter.exchange, letter.routing_key) == (
        Kind.DELIVERY_LIMIT,
        "demand",
        "",
        "demand",
    )
    assert (letter.task, letter.task_id, letter.dead_id) == (
        "demand.ingest",
        "the-id",
        dead_id_for("the-id", "demand.ingest", "demand"),
    )
    assert letter.payload.body == BODY
    assert letter.payload.content_type == "application/json"
    assert HEADERS.items() <= letter.payload.headers.items()


@pytest.mark.parametrize(
    ("headers", "kind"),
    [({"expires": "2000-06-05T10:00:00+00:00"}, Kind.EXPIRED), ({"expires": None}, Kind.BROKER_DLQ)],
)
def test_a_message_whose_time_has_passed_is_kept(broker: Broker, headers: dict[str, Any], kind: Kind) -> None:
    """The task's own expiry is `expired`; any other time to live is the broker's."""
    broker.declare(queue("demand"))
    send(broker, "demand", headers=headers, expiration=0.05)

    letter = died(broker)

    assert (letter.kind, letter.queue) == (kind, "demand")
    assert letter.payload.body == BODY


def test_a_task_that_expires_reaches_a_worker(broker: Broker) -> None:
    """The broker is not told of ``apply_async(expires=…)``: it would drop the message where no worker reports it."""
    with app_on(broker.url, task_queues=[queue("demand")], task_default_queue="demand") as app:
        app.send_task("demand.ingest", expires=0.001)
        message = broker.take("demand")

    assert message.headers["expires"]
    assert "expiration" not in message.properties


def test_a_message_pushed_out_of_a_full_queue_is_kept(broker: Broker) -> None:
    """The oldest message of a full queue goes to the dead letters, where the queue has any."""
    broker.declare(Queue("small", queue_arguments={**into_dead_letters(), "x-max-length": 1}))
    send(broker, "small", headers={"id": "first"})
    send(broker, "small", headers={"id": "second"})

    letter = died(broker)

    assert (letter.kind, letter.queue, letter.task_id) == (Kind.BROKER_DLQ, "small", "first")
    assert letter.message.startswith("maxlen: ")


def test_a_rejected_message_is_kept(broker: Broker) -> None:
    """A worker without this library that rejects a message."""
    broker.declare(queue("demand"))
    send(broker, "demand")
    wait_until(lambda: broker.find("demand")).reject(requeue=False)

    letter = died(broker)

    assert (letter.kind, letter.queue) == (Kind.BROKER_DLQ, "demand")
    assert letter.message.startswith("rejected: ")


def test_a_delayed_message_died_in_its_own_queue(broker: Broker) -> None:
    """The delay queues it came through are not where it died."""
    with app_on(broker.url, task_queues=[queue("demand")], task_default_queue="demand") as app:
        app.send_task("demand.ingest", countdown=0.4)
        message = wait_until(lambda: broker.find("demand"))
        assert message.headers["x-death"][0]["queue"] == "fluxora.delay.to.demand"
        message.reject(requeue=False)

        letter = died(broker)

    assert (letter.kind, letter.queue, letter.message.partition(":")[0]) == (Kind.BROKER_DLQ, "demand", "rejected")


def test_a_replay_of_it_starts_clean(broker: Broker) -> None:
    """What is sent again says nothing of its death, so that the broker does not see a cycle in it."""
    broker.declare(queue("demand"))
    send(broker, "demand", expiration=0.05)
    letter = died(broker)

    again = rewrite(
        letter.payload, dead_id=letter.dead_id, message_id=letter.message_id, replay_no=1, publish_id="publish"
    )
    broker.send(
        letter.queue,
        again.body,
        headers=dict(again.headers),
        content_type=again.content_type,
        content_encoding=again.content_encoding,
        **{name: value for name, value in again.properties.items() if name != "delivery_mode"},
    )

    message = broker.take("demand")
    assert not [name for name in message.headers if name.startswith("x-") and "death" in name]
    assert "expiration" not in message.properties
    assert message.body.encode() == BODY


def test_the_dead_letter_queue_is_there_before_the_first_message(broker: Broker) -> None:
    """A producer that starts before every worker declares where its messages may die."""
    assert not broker.exists("fluxora.dead")
    with app_on(broker.url, task_queues=[queue("demand")], task_default_queue="demand") as app:
        app.send_task("demand.ingest")

    assert broker.exists("fluxora.dead")
    assert broker.exists("demand")


def test_an_app_without_such_queues_declares_none(broker: Broker) -> None:
    """The queues of an adopted app stay as they are, and nothing is added to them."""
    with app_on(broker.url) as app:
        app.send_task("demand.ingest")

    broker.declare(Queue("celery"))
    assert not app.amqp.queues["celery"].queue_arguments


def test_on_redis_it_is_an_ordinary_queue(store_url: str) -> None:
    """The arguments mean nothing there and do no harm."""
    with app_on(store_url, task_queues=[queue("demand")], task_default_queue="demand") as app:
        app.send_task("demand.ingest", args=[1])
    with Connection(store_url) as connection:
        message = queue("demand")(connection.default_channel).get(no_ack=True)
    assert json.loads(message.body)[0] == [1]


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "20"])
def test_a_senseless_limit_is_refused(limit: Any) -> None:
    """Said when the queue is declared."""
    with pytest.raises(ConfigurationError, match="delivery_limit takes a whole number from 1"):
        queue("demand", delivery_limit=limit)


def test_what_makes_it_safe_cannot_be_overruled() -> None:
    """An argument that would undo the safety net is refused; others are passed on."""
    with pytest.raises(ConfigurationError, match="x-queue-type"):
        queue("demand", arguments={"x-queue-type": "classic"})
    assert queue("demand", arguments={"x-max-length": 9}).queue_arguments["x-max-length"] == 9


def test_a_policy_covers_the_queues_of_an_adopted_app(own_broker: Broker, own_node: PrivateRabbit) -> None:
    """The command of docs/how-to/rabbitmq-policy.md, on a queue that exists already."""
    own_broker.declare(Queue("celery"))
    own_node.control(*policy_command(own_broker.url.rpartition("/")[2], "^celery$"))
    send(own_broker, "celery")
    wait_until(lambda: own_broker.find("celery")).reject(requeue=False)

    letter = died(own_broker)

    assert (letter.kind, letter.queue, letter.payload.body) == (Kind.BROKER_DLQ, "celery", BODY)


def policy_command(vhost: str, pattern: str) -> list[str]:
    """The arguments of ``rabbitmqctl`` in the how-to, for this virtual host and these queues."""
    page = (Path(__file__).parents[3] / "docs/how-to/rabbitmq-policy.md").read_text()
    (block,) = re.findall(r"```console\n\$ rabbitmqctl (set_policy .*?)```", page, re.DOTALL)
    words = shlex.split(block.replace("\\\n", " "))
    return [{"/": vhost, "^(celery|reports)$": pattern}.get(word, word) for word in words]


def into_dead_letters() -> dict[str, str]:
    """Arguments of a queue of somebody's own."""
    return {"x-dead-letter-exchange": "fluxora.dead", "x-dead-letter-routing-key": "fluxora.dead"}
