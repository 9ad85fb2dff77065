"""Messages that are put off, where the broker cannot keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kombu import Connection, Queue

from fluxora_tasks.worker.deferral import Deferral
from fluxora_tasks.worker.postponing import DeferralPublisher


def test_a_transport_that_keeps_nothing_gets_an_eta() -> None:
    """Then a worker waits with the message, as it does for a countdown."""
    url = "memory://test_postponing"
    with Connection(url) as connection:
        queue = Queue("work")(connection.default_channel)
        queue.declare()
        publisher = DeferralPublisher(lambda: Connection(url))
        began = datetime.now(UTC)
        publisher.publish([Deferral("work", b"[1]", "application/json", "utf-8", {"id": "one"}, {"priority": 4}, 30.0)])
        message = queue.get()
        assert (message.body, message.content_type, message.headers["id"]) == (b"[1]", "application/json", "one")
        eta = datetime.fromisoformat(message.headers["eta"])
        assert timedelta(seconds=30) <= eta - began < timedelta(seconds=60)
        assert message.properties["priority"] == 4
        publisher.close()
