"""What is in the way of a replay: circuits, the broker, queues without a consumer, a ledger that lags [kombu]."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from kombu import Connection

from fluxora_tasks.breaker.record import CircuitState, Override, Status
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.deadletter.topology import is_amqp
from fluxora_tasks.errors import StoreUnavailable

logger = logging.getLogger(__name__)

#: Seconds for which an answer holds.
_FRESH: Final = 1.0

#: Messages in the dead-letter queue that a recorder at work leaves there at most.
_BACKLOG: Final = 1000

T = TypeVar("T")


def refusing(status: Status) -> str | None:
    """What is said of a circuit that lets nothing pass; ``None``: a message may be sent (pure).

    One whose cooldown is over, or that awaits probes, may get them from the replay: without other messages nobody
    else would send any.
    """
    one = status.snapshot
    if one.override is not Override.NONE and not 0 < one.override_until_ms <= one.now_ms:
        return f"circuit {one.name} is FORCED_OPEN" if one.override is Override.FORCED_OPEN else None
    if one.state is CircuitState.OPEN and one.until_ms > one.now_ms:
        return f"circuit {one.name} is OPEN"
    if one.state is CircuitState.HALF_OPEN and status.leases:
        return f"circuit {one.name} is HALF_OPEN"
    return None


class AppSurroundings:
    """
    The surroundings of an application's replays; what cannot be asked is not held against them.

    Args:
        connect: Opens a connection of its own to the broker.
        circuits_of: Names of the circuits of a task.
        knows: Whether the application has a task of a name.
        breakers: Where circuits are kept, if anywhere.
        dead_letter_queue: Whose length says whether the ledger keeps up.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        circuits_of: Callable[[str], Sequence[str]],
        knows: Callable[[str], bool],
        breakers: BreakerStore | None,
        dead_letter_queue: str,
    ) -> None:
        self._connect, self._circuits_of, self._breakers = connect, circuits_of, breakers
        self._knows = knows
        self._dead_letter_queue = dead_letter_queue
        self._connection: Connection | None = None
        self._known: dict[tuple[str, str], tuple[float, Any]] = {}
        self._behind_since: float | None = None

    def holds(self, task: str, queue: str) -> str | None:
        """Whatever is in the way of one message."""
        return self.unknown(task) or self.breaker(task) or (self.away(queue) if queue else None)

    def unknown(self, task: str) -> str | None:
        """What is said of a task that the application does not have; its workers may be of another release."""
        if not task or self._knows(task):
            return None
        return f"task {task!r} is not registered in this app; a worker that does not know it keeps it as dead again"

    def breaker(self, task: str) -> str | None:
        """What is said of a circuit of the task, where it lets none pass."""
        return self._fresh("circuit", task, self._ask_circuits)

    def away(self, queue: str) -> str | None:
        """What is said of the broker or the queue, where no worker would take the message."""
        return self._fresh("queue", queue, self._ask_queue)

    def lag(self) -> float | None:
        """Seconds since the dead-letter queue was last seen short; ``None``: the broker does not answer."""
        return self._fresh("queue", "", self._ask_lag)

    def close(self) -> None:
        """Drop the connection; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("bulk.close_failed", exc_info=True)

    def _fresh(self, what: str, name: str, ask: Callable[[str], T]) -> T:
        now = time.monotonic()
        until, answer = self._known.get((what, name), (now, None))
        if until <= now:
            answer = ask(name)
            self._known[what, name] = (time.monotonic() + _FRESH, answer)
        return answer  # type: ignore[no-any-return]

    def _ask_circuits(self, task: str) -> str | None:
        names = self._circuits_of(task)
        if self._breakers is None or not names:
            return None
        try:
            return next(filter(None, map(refusing, self._breakers.read(names))), None)
        except StoreUnavailable:
            return None

    def _ask_queue(self, queue: str) -> str | None:
        try:
            declared, amqp = self._declared(queue)
        except Exception as exc:  # noqa: BLE001 - whatever the transport raises: it cannot take a message now
            self.close()
            return f"broker away: {_one_line(exc)}"
        # one that does not exist is found out by the publish, which says so for each message
        if amqp and declared is not None and not declared.consumer_count:
            return f"no worker consumes the queue {queue!r}"
        return None

    def _ask_lag(self, _: str) -> float | None:
        try:
            declared, _amqp = self._declared(self._dead_letter_queue)
        except Exception:  # noqa: BLE001 - likewise
            self.close()
            return None
        now = time.monotonic()
        if declared is None or declared.message_count <= _BACKLOG:
            self._behind_since = None
            return 0.0
        self._behind_since = self._behind_since or now
        return now - self._behind_since

    def _declared(self, queue: str) -> tuple[Any, bool]:
        """What the broker says of a queue; ``None`` where there is none (Redis: or an empty one)."""
        connection = self._connection or self._open()
        channel = connection.channel()
        try:
            return channel.queue_declare(queue, passive=True), is_amqp(connection)
        except connection.channel_errors:
            return None, is_amqp(connection)
        finally:
            channel.close()

    def _open(self) -> Connection:
        connection = self._connection = self._connect()
        connection.ensure_connection(
            max_retries=1, interval_start=0.1, interval_step=0, reraise_as_library_errors=False
        )
        return connection


def _one_line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0][:200]}" if lines else type(exc).__name__
