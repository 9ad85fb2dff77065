"""Reading the dead-letter queue raw, without a recorder."""

from __future__ import annotations

from kombu import Connection

from fluxora_tasks.deadletter.envelope import DeadLetter, Note, decode
from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp
from tests.waiting import wait_until


class DeadQueue:
    """Takes notes out of the dead-letter queue of one broker."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)
        queue = dead_letter_queue("fluxora.dead", "fluxora.dead", amqp=is_amqp(self._connection))
        self._queue = queue(self._connection.default_channel)
        self._queue.declare()
        self.notes: list[Note] = []

    def poll(self) -> list[Note]:
        """Everything taken so far, with what arrived since."""
        while (message := self._queue.get(no_ack=True)) is not None:
            body = message.body
            data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
            self.notes.append(decode(message.content_type, data))
        return self.notes

    def wait_for(self, count: int, limit: float = 20.0) -> list[DeadLetter]:
        """The first ``count`` dead letters, oldest first."""
        wait_until(lambda: len(self.letters()) >= count, limit, f"{count} dead letters")
        return self.letters()

    def letters(self) -> list[DeadLetter]:
        """Dead letters taken so far."""
        return [note for note in self.poll() if isinstance(note, DeadLetter)]

    def close(self) -> None:
        """Give the connection back."""
        self._connection.release()
