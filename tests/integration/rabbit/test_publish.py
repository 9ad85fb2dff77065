"""A message that the broker does not take is an error of its sender, in bounded time."""

from __future__ import annotations

import pickle
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from celery import group
from kombu import Connection, Exchange, Queue
from kombu.common import Broadcast
from kombu.exceptions import OperationalError

from fluxora_tasks.transport.outgoing import PublishFailed
from tests.integration.rabbit.broker import Broker, app_on
from tests.servers import PrivateRabbit, free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def test_every_publish_is_confirmed(broker: Broker) -> None:
    """What send_task has returned from is in the queue."""
    with app_on(broker.url) as app:
        for number in range(1, 21):
            app.send_task("t")
            assert broker.count("celery") == number


def test_a_deleted_queue_is_made_again(broker: Broker) -> None:
    """A producer that believes its queue exists would lose the message in silence."""
    with app_on(broker.url) as app:
        app.send_task("t", args=[1])
        broker.channel.queue_delete("celery")
        app.send_task("t", args=[2])
        assert broker.take("celery").payload[0] == [2]


def test_a_deleted_exchange_is_made_again(broker: Broker) -> None:
    """As a queue; the broker closes the channel over it."""
    tasks = Queue("demand", Exchange("tasks", type="topic"), routing_key="demand.#")
    with app_on(broker.url, task_queues=[tasks], task_default_queue="demand") as app:
        app.send_task("t", args=[1])
        broker.channel.exchange_delete("tasks")
        app.send_task("t", args=[2])
        assert [broker.take("demand").payload[0] for _ in range(2)] == [[1], [2]]


@pytest.mark.parametrize("exchange", ["bound to nothing", "never declared"])
def test_a_message_without_a_queue_is_an_error(broker: Broker, exchange: str) -> None:
    """The message says which route it was and what to do; the next message is not affected."""
    Exchange("bound to nothing", type="topic")(broker.channel).declare()
    with app_on(broker.url) as app:
        with pytest.raises(PublishFailed) as failure:
            app.send_task("demand.ingest", exchange=exchange, routing_key="a.b", exchange_type="topic")
        assert str(failure.value) == (
            "task demand.ingest was not sent: no queue takes messages for "
            f"exchange {exchange!r} with routing key 'a.b'; "
            "start a worker that consumes it, or declare the queue in task_queues, then send again"
        )
        app.send_task("t")
        assert broker.count("celery") == 1


def test_it_is_caught_as_any_trouble_with_the_broker(broker: Broker) -> None:
    """Code that handles Celery's OperationalError handles this; it survives pickle."""
    with app_on(broker.url) as app, pytest.raises(app.Task.OperationalError) as failure:
        app.send_task("t", exchange="nowhere", routing_key="x", exchange_type="topic")
    assert issubclass(PublishFailed, OperationalError)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)


def test_a_broadcast_to_nobody_is_none(broker: Broker) -> None:
    """A broadcast reaches those who listen, and that may be nobody."""
    with app_on(broker.url, task_queues=[Queue("celery"), Broadcast("everyone")]) as app:
        Exchange("everyone", type="fanout")(broker.channel).declare()
        app.send_task("t", queue="everyone")


def test_a_full_queue_is_an_error(broker: Broker) -> None:
    """The broker refuses what does not fit; tried as often as the policy says."""
    full = Queue("celery", queue_arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    with app_on(broker.url, task_queues=[full], task_publish_retry_policy={"max_retries": 1}) as app:
        app.send_task("t", args=[1])
        with pytest.raises(PublishFailed, match="did not take it"):
            app.send_task("t", args=[2])
        broker.take("celery")
        app.send_task("t", args=[3])
        assert broker.take("celery").payload[0] == [3]


def test_a_late_confirm_is_not_taken_for_that_of_the_next_message(broker: Broker) -> None:
    """After an error the channel is gone: of a hundred refused messages not one is reported as sent."""
    with app_on(broker.url, task_publish_retry=False) as app:
        app.send_task("t")
        for _ in range(100):
            with pytest.raises(OperationalError):
                app.send_task("t", exchange="nowhere", routing_key="x", exchange_type="topic", confirm_timeout=0.0001)
        app.send_task("t")
        assert broker.count("celery") == 2


def test_an_app_that_declines_confirms_has_none(broker: Broker) -> None:
    """What the app has set itself stays."""
    with app_on(broker.url, broker_transport_options={"confirm_publish": False}) as app:
        app.send_task("t", exchange="amq.topic", routing_key="x", exchange_type="topic")


def test_groups_and_chains_come_through_as_well(broker: Broker) -> None:
    """Every way of sending a task is confirmed."""
    with app_on(broker.url) as app:

        @app.task(name="t")
        def task() -> None: ...

        group(task.s() for _ in range(10)).apply_async()
        (task.si() | task.si()).apply_async()
        assert broker.count("celery") == 11
        with pytest.raises(PublishFailed):
            group(task.s().set(exchange="nowhere", routing_key="x") for _ in range(2)).apply_async()


@pytest.mark.parametrize("countdown", [None, 5])
def test_events_about_sent_tasks_need_no_listener(broker: Broker, countdown: float | None) -> None:
    """An event that nobody reads is no error, and tells the moment a task is due."""
    with app_on(broker.url, task_send_sent_event=True, task_default_queue_type="quorum") as app:
        app.send_task("t")
        events = broker.declare(Queue("events", Exchange("celeryev", type="topic"), routing_key="#"))
        app.send_task("t", countdown=countdown)
        event = wait_until(events.get).payload

    assert (event["type"], event["queue"]) == ("task-sent", "celery")
    assert bool(event["eta"]) is bool(countdown)


def test_a_producer_of_the_callers_own(broker: Broker) -> None:
    """Confirmed and routed all the same, and usable after an error."""
    with app_on(broker.url) as app, Connection(broker.url) as connection:
        producer = app.amqp.Producer(connection, auto_declare=False)
        for _ in range(2):
            with pytest.raises(PublishFailed):
                app.send_task("t", producer=producer, exchange="nowhere", routing_key="x", exchange_type="topic")
            app.send_task("t", producer=producer)
        assert broker.count("celery") == 2


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: _accept(server, taken), daemon=True)
        accepting.start()
        yield server.getsockname()[1]
    for connection in taken:
        connection.close()


def _accept(server: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            taken.append(server.accept()[0])
        except OSError:
            return


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_is_not_there_is_an_error_soon(scheme: str) -> None:
    """Refused connections: a second or two."""
    with app_on(f"{scheme}://user:secret@127.0.0.1:{free_port()}//") as app:
        begun = time.monotonic()
        with pytest.raises(OperationalError) as failure:
            app.send_task("demand.ingest")
    assert time.monotonic() - begun < 10
    assert "secret" not in str(failure.value)
    assert "demand.ingest was not sent" in str(failure.value)


def test_a_broker_that_says_nothing_is_an_error_too() -> None:
    """Bounded by the connection timeout and the retries, not by patience."""
    with silent_server() as port, app_on(f"amqp://127.0.0.1:{port}//", broker_connection_timeout=0.2) as app:
        begun = time.monotonic()
        with pytest.raises(PublishFailed, match="was not sent"):
            app.send_task("t")
    assert time.monotonic() - begun < 20


def test_a_broker_that_comes_back_is_found(own_broker: Broker, own_node: PrivateRabbit) -> None:
    """A restart between two messages is no error."""
    with app_on(own_broker.url) as app:
        app.send_task("t", args=[1])
        own_node.restart()
        app.send_task("t", args=[2])
        after = Broker(own_broker.url)
        assert [after.take("celery").payload[0] for _ in range(2)] == [[1], [2]]
        after.close()


@pytest.mark.parametrize("size", [10, 20_000_000])
def test_a_broker_out_of_memory_is_an_error_and_no_source_of_copies(
    own_broker: Broker, own_node: PrivateRabbit, size: int
) -> None:
    """It stops reading; what it reads afterwards is one message at most."""
    with app_on(own_broker.url) as app:
        app.send_task("t", args=[0])
        own_node.control("set_vm_memory_high_watermark", "absolute", "1")
        begun = time.monotonic()
        with pytest.raises(PublishFailed):
            app.send_task("t", args=["x" * size], confirm_timeout=0.5, timeout=0.5)
        assert time.monotonic() - begun < 20
        own_node.control("set_vm_memory_high_watermark", "0.4")
        app.send_task("t", args=[2])
        # the last one is in; whatever the broker still reads of the one before came earlier on another connection
        wait_until(lambda: own_broker.count("celery") >= 2)
        assert own_broker.count("celery") <= 3


@pytest.mark.parametrize("countdown", [None, 5])
def test_on_redis_an_exchange_without_queues_is_an_error(store_url: str, countdown: float | None) -> None:
    """Redis drops such a message without a word."""
    with app_on(store_url) as app:
        with pytest.raises(PublishFailed, match="no queue takes messages for exchange 'nowhere'"):
            app.send_task("t", exchange="nowhere", routing_key="x", exchange_type="topic", countdown=countdown)
        app.send_task("t")


def test_on_redis_a_bound_exchange_takes_messages(store_url: str) -> None:
    """What is bound arrives."""
    bound = Queue("demand", Exchange("tasks", type="topic"), routing_key="demand.#")
    with app_on(store_url, task_queues=[bound], task_default_queue="demand") as app:
        app.send_task("t", exchange="tasks", routing_key="demand.x", exchange_type="topic")
        app.send_task("t")
        with app.connection_for_read() as connection:
            queue = bound(connection.default_channel)
            assert queue.get(no_ack=True) is not None
            assert queue.get(no_ack=True) is not None
