"""What a worker writes down between two turns of its loop [redis]: runs that began, messages that ended.

A run is counted when it begins and struck off when its message ends cleanly. So a count that stays is a run that
took its process with it: the only sign that a message kills workers, since no broker counts runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.journal import Ending, Journal
from fluxora_tasks.state import PREFIX, StateStore

#: Hash: message id -> runs that have not ended. Same hash tag as the journal, so that one pipeline serves both.
RUNS_KEY: Final = f"{PREFIX}{{journal}}:runs"

#: Seconds without any traffic after which counts are forgotten.
_TTL: Final = 7 * 86_400


class Books:
    """Journal and run counts, written in one round trip. With the store away nothing is written and tasks go on.

    Args:
        store: ``None``: nothing is counted.
        journal: ``None``: only runs are counted.
    """

    def __init__(self, store: StateStore | None, journal: Journal | None) -> None:
        self.journal = journal
        self._store = store

    @property
    def kept(self) -> bool:
        """Whether there is anything to write to."""
        return self._store is not None

    def write(self, started: Sequence[str], ended: Mapping[Ending | None, Sequence[str]]) -> None:
        """
        Count runs that began, then strike off and close messages that ended.

        Args:
            started: Message ids.
            ended: Message ids by ending; ``None`` where the message itself goes on (a retry, a requeue).
        """
        if self._store is None or not (started or ended):
            return

        def write_all(client: Any) -> None:
            with client.pipeline(transaction=False) as pipe:
                for message_id in started:
                    pipe.hincrby(RUNS_KEY, message_id, 1)
                for ending, message_ids in ended.items():
                    pipe.hdel(RUNS_KEY, *message_ids)
                    if ending is not None and self.journal is not None:
                        self.journal.add_closing(pipe, message_ids, ending)
                if self.journal is not None:
                    self.journal.add_retries(pipe)
                pipe.expire(RUNS_KEY, _TTL)
                pipe.execute()

        with contextlib.suppress(StoreUnavailable):
            self._store.run(write_all)

    def unfinished_runs(self, message_id: str) -> int:
        """Runs of a message that began and did not end; 0 where nobody can tell."""
        if self._store is None:
            return 0
        try:
            count: Any = self._store.run(lambda client: client.hget(RUNS_KEY, message_id))
        except StoreUnavailable:
            return 0
        return int(count or 0)
