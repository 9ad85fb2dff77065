"""What a worker writes down between two turns of its loop [redis]: runs that began, messages that ended.

A run is counted when it begins and struck off when its message ends cleanly. So a count that stays is a run that
took its process with it: the only sign that a message kills workers, since no broker counts runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.journal import COUNTS_KEY, OPEN_KEY, Ending, Journal
from fluxora_tasks.state import PREFIX, StateStore

logger = logging.getLogger(__name__)

#: Hash: message id -> runs that have not ended. Same hash tag as the journal, so that one pipeline serves both.
RUNS_KEY: Final = f"{PREFIX}{{journal}}:runs"

#: Of ``SCRIPT``.
KEYS: Final = [RUNS_KEY, OPEN_KEY, COUNTS_KEY]

#: Seconds without any traffic after which counts are forgotten.
_TTL: Final = 7 * 86_400

#: Endings that wait for the store to come back, at most; about 10 MB.
_OWED_LIMIT: Final = 100_000

# KEYS 1 runs, 2 open and 3 counts of the journal (journal.py). ARGV 1 ttl of the runs in s, 2 "1" where a journal is
# kept, 3 retries to count, 4 number of ids that began, 5.. those ids, then for each ending its name ("": the message
# goes on), the number of its ids, those ids. Only ids that were open are counted. No clock.
SCRIPT: Final = """
local began = tonumber(ARGV[4])
for i = 5, 4 + began do redis.call('HINCRBY', KEYS[1], ARGV[i], 1) end
local at = 5 + began
while at <= #ARGV do
  local ending, last, closed = ARGV[at], at + 1 + tonumber(ARGV[at + 1]), 0
  for i = at + 2, last do
    redis.call('HDEL', KEYS[1], ARGV[i])
    if ARGV[2] == '1' and ending ~= '' then closed = closed + redis.call('HDEL', KEYS[2], ARGV[i]) end
  end
  if closed > 0 then redis.call('HINCRBY', KEYS[3], ending, closed) end
  at = last + 1
end
if ARGV[3] ~= '0' then redis.call('HINCRBY', KEYS[3], 'retried', ARGV[3]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class Books:
    """Journal and run counts, written in one round trip. With the store away tasks go on, and endings are owed.

    A run that is not counted only delays a verdict of poison. An ending that is not written would make a message that
    ended well look lost, so it is kept and written with whatever comes next.

    Args:
        store: ``None``: nothing is counted.
        journal: ``None``: only runs are counted.
    """

    def __init__(self, store: StateStore | None, journal: Journal | None) -> None:
        self.journal = journal
        self._store = store
        self._write = store.script(SCRIPT) if store is not None else None
        self._owed: dict[Ending | None, list[str]] = {}
        self._lock = threading.Lock()

    @property
    def kept(self) -> bool:
        """Whether there is anything to write to."""
        return self._write is not None

    @property
    def owing(self) -> bool:
        """Whether endings wait for the store to come back; any call of ``write`` tries again."""
        return bool(self._owed)

    def write(self, started: Sequence[str], ended: Mapping[Ending | None, Sequence[str]]) -> None:
        """
        Count runs that began, then strike off and close messages that ended.

        Args:
            started: Message ids.
            ended: Message ids by ending; ``None`` where the message itself goes on (a retry, a requeue).
        """
        if self._write is None or not (started or ended or self._owed):
            return
        ended = self._with_owed(ended)
        try:
            self._write(KEYS, self.entry(started, ended))
        except StoreUnavailable:
            self._owe(ended)

    def entry(self, started: Sequence[str], ended: Mapping[Ending | None, Sequence[str]]) -> list[Any]:
        """The arguments of ``SCRIPT`` that write this down."""
        # one command: a pipeline with a script in it asks for the script first, in a round trip of its own
        retries = self.journal.take_retries() if self.journal is not None else 0
        arguments: list[Any] = [_TTL, int(self.journal is not None), retries, len(started), *started]
        for ending, message_ids in ended.items():
            arguments += [ending or "", len(message_ids), *message_ids]
        return arguments

    def connection(self) -> Any:
        """
        A connection of the caller's own to the store.

        Raises:
            StoreUnavailable: there is none now.
        """
        if self._store is None:
            raise StoreUnavailable("there is no shared state")
        return self._store.connection()

    def away(self, exc: Exception) -> None:
        """The store did not answer on that connection."""
        if self._store is not None:
            self._store.away(exc)

    def unfinished_runs(self, message_id: str) -> int:
        """Runs of a message that began and did not end; 0 where nobody can tell."""
        if self._store is None:
            return 0
        try:
            count: Any = self._store.run(lambda client: client.hget(RUNS_KEY, message_id))
        except StoreUnavailable:
            return 0
        return int(count or 0)

    def _with_owed(self, ended: Mapping[Ending | None, Sequence[str]]) -> Mapping[Ending | None, Sequence[str]]:
        """These endings after those that are owed, which are owed no more."""
        if not self._owed:
            return ended
        with self._lock:
            owed, self._owed = self._owed, {}
        for ending, message_ids in ended.items():
            owed.setdefault(ending, []).extend(message_ids)
        return owed

    def _owe(self, ended: Mapping[Ending | None, Sequence[str]]) -> None:
        with self._lock:
            if sum(map(len, self._owed.values())) + sum(map(len, ended.values())) > _OWED_LIMIT:
                logger.error(
                    "shared state is away for long: endings of messages go unwritten, the audit will miss them"
                )
                return
            for ending, message_ids in ended.items():
                self._owed.setdefault(ending, []).extend(message_ids)
