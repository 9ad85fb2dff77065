"""Redis as a broker that loses nothing: kombu's transport with another way to fetch, to wait and to recover [kombu].

Lists, envelopes, bindings, fanout and the form of unacknowledged messages are kombu's, so plain producers, plain
workers and tools go on working beside it. What differs:

- a message is filed as unacknowledged by the script that takes it from its list (``lua/take.lua``);
- a message that has to wait is kept by the broker (``delay``), not by a worker;
- messages of a dead consumer are put back within seconds (``liveness``); those of a live one never are,
  however long it needs;
- what cannot be read is delivered as an undecodable message (``filing.unreadable``).
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as plain

from fluxora_tasks.transport import channel
from fluxora_tasks.transport.cycle import Cycle


class Transport(plain.Transport):
    """Redis or Valkey, over TCP, TLS or a Unix socket."""

    Channel = channel.Channel
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Cycle()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Work through Celery's event loop from now on."""
        super().register_with_event_loop(connection, loop)
        self.cycle.loop = loop
        for each in self.cycle._channels:
            each.fetcher.set_alarm()


class SentinelTransport(Transport, plain.SentinelTransport):
    """Redis or Valkey behind sentinels."""

    Channel = channel.SentinelChannel
