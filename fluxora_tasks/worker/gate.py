"""At most one physical copy of a replay runs: asked in the worker's main process before the pool gets the task."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.state import PREFIX, StateStore

logger = logging.getLogger(__name__)

#: Seconds a replay's publish id is remembered; a second copy that turns up later runs again.
_TTL: Final = 7 * 86_400

# KEYS 1 the replay's key. ARGV 1 publish id, 2 ttl in s. Returns the publish id that holds the key. No clock.
_ENTER = """
local holder = redis.call('GET', KEYS[1])
if holder then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
"""


class Verdict(StrEnum):
    """What to do with one copy of a replay."""

    RUN = "run"
    DUPLICATE = "duplicate"


def replay_key(dead_id: str, replay_no: int) -> str:
    """Where the publish id of the copy that may run is kept."""
    return f"{PREFIX}rp:{dead_id}:{replay_no}"


class ReplayGate:
    """Remembers which physical copy of each replay may run.

    With the store away a copy runs (at-least-once): dropping it could lose it.
    """

    def __init__(self, store: StateStore | None) -> None:
        self._enter = store.script(_ENTER) if store else None

    def enter(self, dead_id: str, replay_no: int, publish_id: str) -> Verdict:
        """Whether this copy may run; a redelivery of the copy that entered first may."""
        if self._enter is None or not publish_id:
            return Verdict.RUN
        try:
            holder = self._enter([replay_key(dead_id, replay_no)], [publish_id, _TTL])
        except StoreUnavailable:
            logger.warning("replay gate could not be asked, running the message")
            return Verdict.RUN
        return Verdict.RUN if holder == publish_id.encode() else Verdict.DUPLICATE
