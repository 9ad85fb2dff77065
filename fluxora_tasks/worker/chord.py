"""Repairs the keys of a chord before a member that had failed runs again [celery's Redis backend].

Celery counts the outcome of a header task once, so the success of a replay would be ignored, and it drops the size
of a chord that failed. Both are put back, for this member only: the body runs when the last one has succeeded.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import states

logger = logging.getLogger(__name__)

# KEYS 1 results (.j, sorted set by header index), 2 members counted (.d, set), 3 size (.s), 4 difference of the size
# (.t), 5 claim (.c). ARGV 1 the failed result as stored, 2 the member as counted. No clock. Returns 1 if repaired.
_REPAIR: Final = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == false then return 0 end
if redis.call('GET', KEYS[5]) == 'done' then return 0 end
if redis.call('EXISTS', KEYS[3]) == 0 then
  local size = redis.call('ZCARD', KEYS[1]) - tonumber(redis.call('GET', KEYS[4]) or 0)
  local ttl = redis.call('PTTL', KEYS[1])
  redis.call('SET', KEYS[3], size)
  if ttl > 0 then redis.call('PEXPIRE', KEYS[3], ttl) end
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('SREM', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[5])
return 1
"""


def can_repair(backend: Any) -> bool:
    """Whether this is a backend whose chords are kept in the keys known here."""
    return hasattr(backend, "_chord_part_return_script") and bool(getattr(backend, "_chord_zset", False))


def repair(backend: Any, task_id: str, group: str, index: int | None) -> bool:
    """
    Forget the failure of one header task; whether there was one to forget.

    Args:
        backend: The app's Redis result backend.
        task_id: The task that runs again.
        group: Id of the chord's header.
        index: Its place in the header.
    """
    keys = [backend.get_key_for_group(group, suffix) for suffix in (".j", ".d", ".s", ".t", ".c")]
    score = "+inf" if index is None else index
    for entry in backend.client.zrangebyscore(keys[0], score, score):
        _, entry_id, state, _ = backend.decode(entry)
        if entry_id == task_id and state in states.EXCEPTION_STATES:
            return bool(backend.client.eval(_REPAIR, len(keys), *keys, entry, f"{task_id}:{score}"))
    return False
