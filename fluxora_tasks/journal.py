"""The journal [redis]: which messages were sent and have not ended yet, so that one command can count them all.

An entry is opened before the publish and closed before the acknowledgement. So whatever is open is on its way,
in the ledger, or lost; a crash can leave an entry open too long, never close one too early.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.state import PREFIX, StateStore

#: One hash tag, so that both keys live on one node of a cluster.
OPEN_KEY: Final = f"{PREFIX}{{journal}}:open"
COUNTS_KEY: Final = f"{PREFIX}{{journal}}:counts"

#: Seconds without any traffic after which the journal is forgotten.
_TTL = 30 * 86_400

Ending = Literal["succeeded", "ignored", "dead_lettered", "unsent"]

# KEYS 1 open (hash: message id -> task\x1fsent ms), 2 counts (hash). ARGV 1 id, 2 task, 3 ttl in s, 4 gaps to report.
# Clock: the server's. Opening an id twice counts once.
_OPEN = """
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2] .. '\\31' .. string.format('%.0f', ms)) == 1 then
  redis.call('HINCRBY', KEYS[2], 'sent', 1)
end
if ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[2], 'gaps', ARGV[4]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""

# KEYS as above. ARGV 1 name of the ending, 2.. ids. Only ids that were open are counted.
_CLOSE = """
local closed = 0
for i = 2, #ARGV do closed = closed + redis.call('HDEL', KEYS[1], ARGV[i]) end
if closed > 0 then redis.call('HINCRBY', KEYS[2], ARGV[1], closed) end
return closed
"""


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """How many messages were sent and how they ended.

    Attributes:
        sent: Messages published; retries and replays of the same message count once.
        succeeded: Ran to success.
        ignored: Ended by the task raising ``Ignore``, or failed in a task that keeps no dead letters.
        dead_lettered: Recorded in the ledger.
        unsent: The publish raised at the caller.
        retried: Retries scheduled.
        open: Not ended yet.
        gaps: Sends that could not be noted because the store was away.
        duplicates_dropped: Copies of replays that were dropped instead of run: second ones, and those of void replays.
    """

    sent: int = 0
    succeeded: int = 0
    ignored: int = 0
    dead_lettered: int = 0
    unsent: int = 0
    retried: int = 0
    open: int = 0
    gaps: int = 0
    duplicates_dropped: int = 0


#: What the counts hold; a newer release may count more.
_FIGURES: Final = frozenset(figure.name for figure in fields(JournalCounts))


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """A message that was sent and has not ended.

    Attributes:
        message_id: Its id.
        task: Name of its task.
        age: Seconds since it was sent, by the store's clock.
    """

    message_id: str
    task: str
    age: float


class Journal:
    """Open and close entries. While the store is away nothing is noted, tasks go on, and the gap is counted."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._open_script = store.script(_OPEN)
        self._close_script = store.script(_CLOSE)
        self._gaps = 0
        self._retried = 0

    def opened(self, message_id: str, task: str) -> None:
        """Note that a message is about to be published."""
        gaps, self._gaps = self._gaps, 0
        try:
            self._open_script([OPEN_KEY, COUNTS_KEY], [message_id, task, _TTL, gaps])
        except StoreUnavailable:
            self._gaps += gaps + 1

    def closed(self, message_ids: Sequence[str], ending: Ending) -> None:
        """Note that messages ended; ids that are not open change nothing."""
        # ours are ASCII; a foreign one, which nobody opened, may be a text that cannot be sent
        possible = filter(str.isascii, message_ids)
        with contextlib.suppress(StoreUnavailable):
            self._close_script([OPEN_KEY, COUNTS_KEY], [ending, *possible])

    def dropped(self) -> None:
        """Count one copy of a replay that was dropped, at once; no message ends by it."""

        def count(client: Any) -> None:
            with client.pipeline(transaction=False) as pipe:
                pipe.hincrby(COUNTS_KEY, "duplicates_dropped", 1)
                pipe.expire(COUNTS_KEY, _TTL)
                pipe.execute()

        with contextlib.suppress(StoreUnavailable):
            self._store.run(count)

    def retried(self) -> None:
        """Count one scheduled retry; see ``take_retries``."""
        self._retried += 1

    def take_retries(self) -> int:
        """Retries counted since the last call, for whoever writes next; lost where the store is away just then."""
        retried, self._retried = self._retried, 0
        return retried

    def counts(self) -> JournalCounts:
        """
        The figures so far.

        Raises:
            StoreUnavailable: the store does not answer.
        """

        def read(client: Any) -> tuple[dict[bytes, bytes], int]:
            with client.pipeline(transaction=False) as pipe:
                pipe.hgetall(COUNTS_KEY)
                pipe.hlen(OPEN_KEY)
                counts, still_open = pipe.execute()
            return counts, still_open

        counts, still_open = self._store.run(read)
        figures = {key.decode(): int(value) for key, value in counts.items()}
        return JournalCounts(open=still_open, **{name: figures[name] for name in _FIGURES & figures.keys()})

    def open_entries(self) -> Iterator[OpenEntry]:
        """Every message that has not ended; read in slices, so it may miss ones that change meanwhile.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        now = self._store.run(lambda client: client.time())
        now_ms = now[0] * 1000 + now[1] // 1000
        cursor = 0
        while True:
            cursor, entries = self._slice(cursor)
            for message_id, value in entries.items():
                task, _, sent_ms = value.decode("utf-8", "replace").rpartition("\x1f")
                yield OpenEntry(message_id.decode("utf-8", "replace"), task, max(0.0, (now_ms - int(sent_ms)) / 1000))
            if cursor == 0:
                return

    def _slice(self, cursor: int) -> tuple[int, dict[bytes, bytes]]:
        answer: Any = self._store.run(lambda client: client.hscan(OPEN_KEY, cursor, count=1000))
        return answer[0], answer[1]

    def forget(self) -> None:
        """Start from nothing.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        self._store.run(lambda client: client.delete(OPEN_KEY, COUNTS_KEY))
