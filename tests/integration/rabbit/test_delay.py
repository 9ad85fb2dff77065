"""Messages that are not due yet wait in the broker, for whatever queue they are meant."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue

from fluxora_tasks.queues import queue
from tests.integration.rabbit.broker import Broker, app_on
from tests.servers import PrivateRabbit

pytestmark = pytest.mark.integration

#: How an adopted app may have set up its default queue, with the exchange and key its messages arrive by.
APPS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "plain": ({}, ("", "celery")),
    "quorum": ({"task_default_queue_type": "quorum"}, ("", "celery")),
    "quorum and topic": (
        {
            "task_default_queue_type": "quorum",
            "task_default_exchange": "tasks",
            "task_default_exchange_type": "topic",
            "task_default_routing_key": "task.default",
        },
        ("tasks", "task.default"),
    ),
    "classic and topic": (
        {"task_queues": [Queue("celery", Exchange("tasks", type="topic"), routing_key="task.#")]},
        ("tasks", "task.#"),
    ),
    "ours": ({"task_queues": [queue("celery")]}, ("", "celery")),
}


@pytest.fixture(params=list(APPS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def route_of(message: Any) -> tuple[str, str]:
    return message.delivery_info["exchange"], message.delivery_info["routing_key"]


def waiting(broker: Broker, app: Celery) -> int:
    return broker.count(app.conf.task_default_queue)


def test_a_long_countdown_waits_in_the_broker(broker: Broker, kind: str) -> None:
    """It arrives as if it had just been published, shortly before it is due; nothing is bound or changed."""
    conf, route = APPS[kind]
    with app_on(broker.url, **conf) as app:
        sent = time.time()
        app.send_task("t", args=[1], countdown=2.5, priority=3)
        assert waiting(broker, app) == 0

        message = broker.take("celery")
        arrived = time.time() - sent

    assert route_of(message) == route
    assert arrived > 1.4
    due = datetime.fromisoformat(message.headers["eta"])
    assert abs((due - datetime.fromtimestamp(sent, UTC)).total_seconds() - 2.5) < 0.2
    assert (message.properties["delivery_mode"], message.properties["priority"]) == (2, 3)


@pytest.mark.parametrize("countdown", [0.001, 0.2, 0.5, 0.999, 1, 1.9])
def test_a_short_countdown_is_no_error(broker: Broker, kind: str, countdown: float) -> None:
    """Celery's own delayed delivery raises for less than a second."""
    conf, route = APPS[kind]
    with app_on(broker.url, **conf) as app:
        app.send_task("t", countdown=countdown)
        message = broker.take("celery")

    assert route_of(message) == route
    ahead = (datetime.fromisoformat(message.headers["eta"]) - datetime.now(UTC)).total_seconds()
    # where the prefetch window is static, next to nothing is left for the worker to wait
    assert ahead < (0.1 if "x-delivery-count" in message.headers or kind in ("quorum", "ours") else 2)


@pytest.mark.parametrize(
    "eta",
    [
        lambda now: now + timedelta(seconds=2.5),
        lambda now: (now + timedelta(seconds=2.5)).isoformat(),
        lambda now: (now + timedelta(seconds=2.5)).replace(tzinfo=None),
    ],
    ids=["moment", "text", "without zone"],
)
def test_an_eta_is_a_countdown(broker: Broker, kind: str, eta: Any) -> None:
    """In every form Celery takes."""
    with app_on(broker.url, **APPS[kind][0]) as app:
        app.send_task("t", eta=eta(datetime.now(UTC)))
        assert waiting(broker, app) == 0
        assert broker.count("fluxora.delay.2048ms") == 1


@pytest.mark.parametrize("eta", [datetime(2000, 6, 5, tzinfo=UTC), "2000-06-05T00:00:00+00:00"])
def test_a_moment_that_has_passed_is_now(broker: Broker, kind: str, eta: Any) -> None:
    """Such a message goes straight to its queue."""
    with app_on(broker.url, **APPS[kind][0]) as app:
        app.send_task("t", eta=eta)
        assert broker.take("celery").headers["eta"].startswith("2000-06-05")
    assert not broker.exists("fluxora.delay.64ms")


def test_a_message_for_each_of_a_fanouts_queues(broker: Broker) -> None:
    """The exchange routes at the end, not the sender."""
    everyone = Exchange("everyone", type="fanout")
    for name in ("one", "two"):
        broker.declare(Queue(name, everyone))
    with app_on(broker.url, task_queues=[Queue("one", everyone)], task_default_queue="one") as app:
        app.send_task("t", exchange="everyone", exchange_type="fanout", routing_key="", countdown=2.1)
        assert route_of(broker.take("one")) == route_of(broker.take("two")) == ("everyone", "")


def test_a_message_does_not_expire_on_its_way(broker: Broker) -> None:
    """The broker's expiry would cut the delay short; what the worker reads stays."""
    with app_on(broker.url) as app:
        sent = time.time()
        app.send_task("t", countdown=3, expires=1)
        message = broker.take("celery")

    assert time.time() - sent > 1.9
    assert message.headers["expires"]


def test_retries_leave_no_trace_that_grows(broker: Broker) -> None:
    """A message that goes round again starts clean: the broker would drop it for going in circles."""
    lengths = []
    with app_on(broker.url, task_default_queue_type="quorum") as app:
        app.send_task("t", countdown=0.2)
        for _ in range(4):
            message = broker.take("celery")
            # a machine so busy that the time is over before the publish sends it straight to its queue
            lengths.append(len(message.headers.get("x-death", ())))
            app.send_task("t", headers=message.headers, countdown=0.2)

    # 64 ms, 128 ms, and the way to the queue
    assert max(lengths) <= 3


def test_thousands_of_delays_need_no_more_queues(broker: Broker) -> None:
    """The number of queues follows from the longest delay and the targets, not from how many delays there are."""
    with app_on(broker.url) as app:
        for number in range(200):
            app.send_task("t", countdown=1000 + number * 0.37)

    # 64 ms to 1,048,576 ms, and the way to the one queue
    queues = [f"fluxora.delay.{1 << level}ms" for level in range(6, 21)]
    assert all(map(broker.exists, queues))
    assert not broker.exists("fluxora.delay.2097152ms")
    assert sum(map(broker.count, queues)) == 200


def test_the_first_message_of_all_arrives(broker: Broker) -> None:
    """No worker has ever run here: the producer declares what the message needs on its way."""
    with app_on(broker.url) as app:
        app.send_task("t", countdown=2.1)
    assert broker.take("celery").headers["task"] == "t"


def test_deleted_delay_queues_are_made_again(broker: Broker) -> None:
    """A producer that believes it has declared them finds out and does it again."""
    with app_on(broker.url) as app:
        app.send_task("t", args=[1], countdown=2.1)
        broker.take("celery")
        for level in range(6, 12):
            broker.channel.queue_delete(f"fluxora.delay.{1 << level}ms")
            broker.channel.exchange_delete(f"fluxora.delay.{1 << level}ms")
        app.send_task("t", args=[2], countdown=2.1)
        assert broker.take("celery").payload[0] == [2]


def test_a_killed_broker_loses_no_delayed_message(own_broker: Broker, own_node: PrivateRabbit) -> None:
    """SIGKILL in the middle of the wait: every message arrives."""
    with app_on(own_broker.url) as app:
        app.send_task("t", args=["declares the queues"], countdown=9)
        # RabbitMQ 3.10 itself cannot restore a queue that was made seconds before a kill
        own_node.restart(signal.SIGTERM)
        for number in range(100):
            app.send_task("t", args=[number], countdown=4.2 + number * 0.04)
        own_node.restart()
        after = Broker(own_broker.url)
        arrived = {after.take("celery", limit=30).payload[0][0] for _ in range(101)}
        after.close()

    assert arrived == {"declares the queues", *range(100)}


def test_an_account_that_may_not_declare_them_goes_without(
    own_broker: Broker, own_node: PrivateRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    """The message goes to its queue, where a worker holds it; said once."""
    vhost = own_broker.url.rpartition("/")[2]
    own_node.control("add_user", vhost, "secret")
    own_node.control("set_permissions", "--vhost", vhost, vhost, "^celery$", ".*", ".*")
    url = own_broker.url.replace("guest:guest", f"{vhost}:secret")
    with app_on(url) as app:
        for _ in range(2):
            app.send_task("t", countdown=60)

    assert own_broker.count("celery") == 2
    assert [record.message[:60] for record in caplog.records] == [
        "messages that are not due wait in the workers, not in the br"
    ]
