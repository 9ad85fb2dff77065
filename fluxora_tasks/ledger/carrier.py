"""Many messages to a broker at once, and what became of each [kombu].

A round trip per message is most of what a replay costs. RabbitMQ confirms messages while more are sent; Redis takes
them in one pipeline. Whoever carries them says of each whether the broker has it, refused it, or left that open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from amqp.exceptions import AMQPError, MessageNacked

from fluxora_tasks.deadletter.confirming import Confirms
from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.identity import PUBLISH_ID

#: Seconds the broker may take to confirm what was sent.
CONFIRM_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message for a queue.

    Attributes:
        publish_id: Of this copy; also in its headers.
    """

    payload: Payload
    queue: str
    publish_id: str

    def prepared(self, channel: Any) -> Any:
        """As the transport of a channel wants it."""
        payload = self.payload
        properties = dict(payload.properties)
        return channel.prepare_message(
            payload.body,
            priority=properties.pop("priority", None),
            content_type=payload.content_type,
            content_encoding=payload.content_encoding,
            headers=dict(payload.headers),
            properties=properties,
        )


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of a message.

    Attributes:
        error: Why the broker is not known to have it; ``None``: it has it.
        is_open: Whether it may have it all the same.
    """

    error: Exception | None = None
    is_open: bool = False


ARRIVED: Final = Carried()


class Carrier(Protocol):
    """Carries messages over one channel.

    Attributes:
        most: Messages that it takes at once.
        is_spent: The channel must not be used again.
    """

    most: int
    is_spent: bool

    def carry(self, parcels: Sequence[Parcel]) -> Sequence[Carried]:
        """What became of each, in their order; of fewer, where the channel is spent: the rest was not touched."""
        ...


def carrier_on(channel: Any, *, amqp: bool, broken: tuple[type[Exception], ...]) -> Carrier:
    """
    What suits a channel, which nobody else uses.

    Args:
        broken: Errors that say that the connection is gone.
    """
    if amqp:
        return ConfirmedCarrier(channel, broken)
    # not where the client would send the pipeline again by itself: workers would run both copies
    if hasattr(channel, "create_publish_batch") and channel.supports_batch_publish:
        return PipelineCarrier(channel)
    return SingleCarrier(channel, broken)


class ConfirmedCarrier:
    """RabbitMQ: all are sent, then their confirms are awaited together. One that no queue takes comes back."""

    most = 100

    def __init__(self, channel: Any, broken: tuple[type[Exception], ...]) -> None:
        self.is_spent = False
        self._channel, self._broken = channel, broken
        self._confirms = Confirms(channel)
        self._returned: dict[str, Exception] = {}
        channel.events["basic_return"].add(self._on_return)

    def carry(self, parcels: Sequence[Parcel]) -> Sequence[Carried]:
        """One that cannot be written spends the channel; those before it are still awaited.

        What the broker says while more is sent is about those before: the message at hand was not touched.
        """
        self._returned.clear()
        tags: list[tuple[int, Parcel]] = []
        error: Exception | None = None
        for parcel in parcels:
            try:
                message = parcel.prepared(self._channel)
                self._channel.basic_publish(message, exchange="", routing_key=parcel.queue, mandatory=True)
            except Exception as exc:  # noqa: BLE001 - of this message, or of the connection
                error, self.is_spent = exc, True
                break
            tags.append((self._confirms.expect(), parcel))
        is_of_others = bool(tags) and isinstance(error, (*self._broken, AMQPError))
        late = error if is_of_others else self._await()
        carried = [self._carried(tag, parcel, late) for tag, parcel in tags]
        if error is not None and not is_of_others:
            # half of it may have been written, but without its end no broker takes a message
            carried.append(Carried(error))
        return carried

    def _await(self) -> Exception | None:
        try:
            self._confirms.wait(CONFIRM_TIMEOUT)
        except MessageNacked:
            return None
        except Exception as exc:  # noqa: BLE001 - whatever the connection, or the broker, has against it
            self.is_spent = True
            return exc
        return None

    def _carried(self, tag: int, parcel: Parcel, late: Exception | None) -> Carried:
        returned = self._returned.get(parcel.publish_id)
        if returned is not None:
            return Carried(returned)
        if tag in self._confirms.refused:
            return Carried(MessageNacked("the broker refused it"))
        if tag not in self._confirms.due:
            return ARRIVED
        assert late is not None, "the wait ends when nothing is due"
        # an error that the broker sends is about one of those that are due; of one alone it is plain which
        is_open = isinstance(late, self._broken) or len(self._confirms.due) > 1
        return Carried(late, is_open)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        self._returned[message.headers[PUBLISH_ID]] = error


class PipelineCarrier:
    """Redis: the commands of all messages in one pipeline; each has an answer of its own."""

    most = 100

    def __init__(self, channel: Any) -> None:
        self.is_spent = False
        self._channel = channel
        self._commands: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, name: str, *args: Any) -> None:
        """Called by the channel for each command of a message."""
        self._commands.append((name, args))

    def carry(self, parcels: Sequence[Parcel]) -> Sequence[Carried]:
        """The first command of a message puts it into its queue."""
        with self._channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
            firsts: list[int | Exception] = []
            sent = 0
            for parcel in parcels:
                self._commands.clear()
                try:
                    message = parcel.prepared(self._channel)
                    self._channel.basic_publish(message, exchange="", routing_key=parcel.queue, _publish_batch=self)
                except Exception as exc:  # noqa: BLE001 - a message that JSON cannot carry
                    firsts.append(exc)
                    continue
                firsts.append(sent)
                for name, args in self._commands:
                    getattr(pipeline, name)(*args)
                    sent += 1
            try:
                answers = pipeline.execute(raise_on_error=False) if sent else []
            except Exception as exc:  # noqa: BLE001 - the connection broke
                self.is_spent = True
                return [Carried(exc if isinstance(first, int) else first, isinstance(first, int)) for first in firsts]
        results = [answers[first] if isinstance(first, int) else first for first in firsts]
        return [Carried(result) if isinstance(result, Exception) else ARRIVED for result in results]


class SingleCarrier:
    """Any other transport: one at a time."""

    most = 1

    def __init__(self, channel: Any, broken: tuple[type[Exception], ...]) -> None:
        self.is_spent = False
        self._channel, self._broken = channel, broken

    def carry(self, parcels: Sequence[Parcel]) -> Sequence[Carried]:
        """The first one."""
        parcel = parcels[0]
        try:
            message = parcel.prepared(self._channel)
            self._channel.basic_publish(message, exchange="", routing_key=parcel.queue)
        except Exception as exc:  # noqa: BLE001 - whatever the transport raises
            self.is_spent = True
            return [Carried(exc, is_open=isinstance(exc, self._broken))]
        return [ARRIVED]
