"""At most one physical copy of a replay runs: asked in the worker's main process before the pool gets the task."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any, Final

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.state import PREFIX, StateStore

logger = logging.getLogger(__name__)

#: Seconds a replay's publish id is remembered since a copy last entered; a second copy later than that runs again.
_TTL: Final = 7 * 86_400

#: Seconds the word of an operator is remembered that a replay is lost.
_VOID_TTL: Final = 30 * 86_400

#: What the key of a replay holds instead of a publish id when no copy may run any more.
_VOID: Final = b"void"

# KEYS 1 the replay's key. ARGV 1 publish id (empty: the copy names none), 2 ttl in s. Returns what holds the key, the
# publish id itself where nothing else does. No clock.
_ENTER = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return ARGV[1]
"""


class Verdict(StrEnum):
    """What to do with one copy of a replay."""

    RUN = "run"
    DUPLICATE = "duplicate"
    VOID = "void"
    UNKNOWN = "unknown"


def replay_key(dead_id: str, replay_no: int) -> str:
    """Where the publish id of the copy that may run is kept."""
    return f"{PREFIX}rp:{dead_id}:{replay_no}"


class ReplayGate:
    """Remembers which physical copy of each replay may run.

    Args:
        store: ``None``: nobody can tell.
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self._enter = store.script(_ENTER) if store else None

    def enter(self, dead_id: str, replay_no: int, publish_id: str) -> Verdict:
        """
        Whether this copy may run; a redelivery of the copy that entered first may, and so may its retries.

        With the store away the answer is UNKNOWN. A copy without a publish id runs, unless another copy has entered.
        """
        if self._enter is None:
            return Verdict.UNKNOWN
        try:
            holder = self._enter([replay_key(dead_id, replay_no)], [publish_id, _TTL])
        except StoreUnavailable:
            return Verdict.UNKNOWN
        if holder == _VOID:
            return Verdict.VOID
        return Verdict.RUN if holder == publish_id.encode("utf-8", "surrogatepass") else Verdict.DUPLICATE

    def void(self, dead_id: str, replay_no: int) -> None:
        """
        Let no copy of a replay run any more: one that turns up later is dropped. A run that has begun goes on.

        Raises:
            StoreUnavailable: nobody could note that, so a copy may still run.
        """
        if self._store is None:
            raise StoreUnavailable("there is no shared state to note it in")
        key = replay_key(dead_id, replay_no)

        def note(client: Any) -> None:
            client.set(key, _VOID, ex=_VOID_TTL)

        self._store.run(note)
