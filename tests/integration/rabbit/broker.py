"""Looking into a RabbitMQ from outside, and apps that publish to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection, Producer, Queue

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.queues import declare_dead_letters
from fluxora_tasks.install import install
from fluxora_tasks.settings import Settings
from tests.waiting import wait_until


class Broker:
    """One virtual host."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = Connection(url)

    @property
    def channel(self) -> Any:
        """For whatever the tests want; reopened after an error."""
        channel = self._connection.default_channel
        if not channel.is_open:
            self._connection.revive(None)
            channel = self._connection.default_channel
        return channel

    @property
    def connection(self) -> Connection:
        """The connection itself."""
        return self._connection

    def declare(self, queue: Queue) -> Queue:
        """Declare a queue, and the dead-letter queue before it."""
        declare_dead_letters(self._connection, "fluxora.dead", "fluxora.dead")
        bound = queue(self.channel)
        bound.declare()
        return bound

    def send(self, queue: str, body: Any, **options: Any) -> None:
        """A message straight into a queue, stored when this returns."""
        with Connection(self.url, transport_options={"confirm_publish": True}) as connection:
            Producer(connection).publish(body, exchange="", routing_key=queue, delivery_mode=2, **options)

    def find(self, queue: str) -> Any:
        """The first message of a queue, or ``None``; not acknowledged."""
        return Queue(queue, no_declare=True)(self.channel).get()

    def take(self, queue: str, limit: float = 10.0) -> Any:
        """The first message of a queue, taken out."""
        message = wait_until(lambda: self.find(queue), limit, f"a message in {queue}")
        message.ack()
        return message

    def count(self, queue: str) -> int:
        """Messages that are ready in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).message_count)

    def exists(self, queue: str) -> bool:
        """Whether there is such a queue."""
        try:
            self.count(queue)
        except self._connection.channel_errors:
            return False
        return True

    def close(self) -> None:
        """Give the connection back."""
        self._connection.release()


def payload_of(message: Any) -> Payload:
    """A raw message as the recorder reads it."""
    body = message.body
    return Payload(
        body=body.encode() if isinstance(body, str) else bytes(body),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers,
        properties={name: value for name, value in message.properties.items() if name != "application_headers"},
    )


@contextmanager
def app_on(url: str, **conf: Any) -> Iterator[Celery]:
    """An installed app that only sends."""
    app = Celery("sender", broker=url, set_as_current=False)
    app.conf.update(conf)
    install(app, Settings(broker_url=url, journal=False))
    yield app
    app.close()
