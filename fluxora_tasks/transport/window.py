"""Messages in hand: the prefetch window of a channel, and messages of any content [kombu]."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as plain
from kombu.transport import virtual

from fluxora_tasks.transport.filing import Envelope, unreadable


class Message(virtual.Message):
    """A message; also one whose content cannot be read."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **kwargs)
        except Exception:
            if not isinstance(payload, Envelope):
                raise
            tag = payload["properties"]["delivery_tag"]
            super().__init__(unreadable(payload.raw, payload.queue, tag), channel=channel, **kwargs)
        self._raw = None  # stands on the server


class QoS(plain.QoS):
    """The prefetch window. What is in it was filed when it was taken."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message was delivered."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """A message is done with."""
        virtual.QoS.ack(self, delivery_tag)
        self.channel.settle(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """A message goes to the end of its list, or away."""
        if not requeue or not self._files(delivery_tag):
            self.ack(delivery_tag)
            return
        self.channel.holding.put_back([delivery_tag], last=True)
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Everything goes back."""
        self._flush()
        tags = list(filter(self._files, self._delivered))
        if tags:
            self.channel.holding.put_back(tags)
        self._delivered.clear()

    def _files(self, delivery_tag: str) -> bool:
        """Whether a message is filed; one from a fanout exchange is not."""
        return bool(self.channel.files and self.channel.holding.owns(delivery_tag))
