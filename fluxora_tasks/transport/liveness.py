"""Signs of life of a consumer, and the search for those that stopped giving any [redis].

A thread of its own gives them, so that a task that keeps the main thread busy does not look like a death. A consumer
counts as dead when it has been silent and its connection is gone: the kernel closes it with the process, while a
stopped or starved one keeps it. Whoever looks must itself have been in steady touch with the server for longer than
the silence it judges by: whatever silenced all the others at once (a restart, a failover, a suspended machine)
silenced it, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from fluxora_tasks.transport.holding import Holding, give_up
from fluxora_tasks.transport.scripts import BEAT

logger = logging.getLogger(__name__)

#: Seconds between signs of life, and between looks for silent consumers.
BEAT_EVERY: Final = 2.0
#: Seconds without one that make a consumer suspect · that are too long even for one with an open connection,
#: whose machine may have gone without a word · or where the server does not tell who is connected.
SILENCE: Final = 6.0
STALLED: Final = 60.0
UNKNOWN: Final = 30.0
#: Seconds of unbroken touch with the server before a consumer looks for others.
STEADY: Final = 8.0

#: Seconds between a call and the writing of acknowledgements.
_LINGER: Final = 0.02

_NAME: Final = "fluxora:"

#: Consumers of this process that could not put their messages back when their connection broke. What was done
#: meanwhile is still acknowledged to them.
_left_behind: set[Holding] = set()


def leave_behind(holding: Holding) -> None:
    """These messages could not be put back; the next consumer of this process will do it."""
    _left_behind.add(holding)


class Heart:
    """
    The thread of one consumer.

    Args:
        holding: Whose it is; its late acknowledgements are written here, too, should nobody else come by.
        connect: Makes a connection of redis-py's, not connected yet.
    """

    def __init__(self, holding: Holding, connect: Callable[[], Any]) -> None:
        self._holding = holding
        self._connection = connect()
        self._stopping = False
        self._called = threading.Event()
        self._last = float("-inf")
        self._steady_since = float("inf")
        self._thread = threading.Thread(target=self._run, name="fluxora-heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more signs."""
        self._stopping = True
        self._called.set()

    def call(self) -> None:
        """Acknowledgements wait to be written, and whoever should write them may be busy with something else."""
        self._called.set()

    def after_fork(self) -> None:
        """In a child: let go of the socket, whose end has to show the death of the parent alone."""
        sock = getattr(self._connection, "_sock", None)
        if sock is not None:
            sock.close()

    def _run(self) -> None:
        away = False
        try:
            while not self._stopping:
                try:
                    self._beat()
                    away = False
                except (RedisError, OSError) as exc:
                    self._connection.disconnect()
                    if not away:
                        logger.warning("no sign of life could be given: %s: %s", type(exc).__name__, exc)
                    away = True
                if self._called.wait(BEAT_EVERY / 2 if away else BEAT_EVERY):
                    self._called.clear()
                    time.sleep(_LINGER)
        except ReferenceError:
            return  # the pool of a sentinel connection is gone with its channel
        finally:
            self._connection.disconnect()

    def _beat(self) -> None:
        keys, consumer = self._holding.keys, self._holding.consumer
        if getattr(self._connection, "_sock", None) is None:
            self._introduce()
        started = time.monotonic()
        look = started - self._steady_since >= STEADY
        now, *silent = BEAT.run(
            self._execute,
            [keys.consumers, keys.looking],
            [consumer, int(SILENCE * 1000), int(look), int(BEAT_EVERY * 900)],
        )
        self._note_touch(started, time.monotonic())
        self._collect_left_behind()
        if silent:
            self._look_at(now, dict(zip(silent[::2], silent[1::2], strict=True)))
        if self._holding.unwritten:
            self._holding.flush()

    def _collect_left_behind(self) -> None:
        for mine in [each for each in _left_behind if each.keys == self._holding.keys]:
            restored = mine.put_all_back(self._execute)
            _left_behind.discard(mine)
            logger.warning("put %d messages back that were in hand when the connection broke", restored)

    def _introduce(self) -> None:
        self._connection.connect()
        try:
            self._execute("CLIENT", "SETNAME", _NAME + self._holding.consumer)
        except ResponseError:
            logger.info("the server refuses names of clients; dead consumers are found later")

    def _note_touch(self, started: float, ended: float) -> None:
        if started - self._last > 2 * BEAT_EVERY or ended - started > BEAT_EVERY:
            self._steady_since = ended
        self._last = ended

    def _look_at(self, now: int, silent: dict[bytes, int]) -> None:
        connected = self._connected()
        for name, seen in silent.items():
            consumer = name.decode()
            if (now - seen) / 1000 >= patience_with(consumer, connected):
                restored = give_up(self._execute, self._holding.keys, consumer, str(seen))
                if restored:
                    logger.warning("put %d messages of dead consumer %s back", restored, consumer)

    def _connected(self) -> set[str] | None:
        """Consumers with an open connection; ``None`` where the server does not tell."""
        try:
            clients = self._execute("CLIENT", "LIST")
        except ResponseError:
            return None
        return set(consumers_in(clients.decode(errors="replace").split()))

    def _execute(self, *command: Any) -> Any:
        self._connection.send_command(*command)
        return self._connection.read_response()


def patience_with(consumer: str, connected: set[str] | None) -> float:
    """Seconds of silence after which a consumer is given up (pure)."""
    if connected is None:
        return UNKNOWN
    return STALLED if consumer in connected else SILENCE


def consumers_in(words: Iterable[str]) -> Iterable[str]:
    """Names of consumers in the words of a list of clients (pure)."""
    prefix = f"name={_NAME}"
    return (word[len(prefix) :] for word in words if word.startswith(prefix))
