"""Repairs the keys of a chord before a member that had failed runs again [celery's Redis backend].

Celery counts the outcome of a header task once, so the success of a replay would be ignored; and once every member
is counted it fails the body and drops the chord's size. So all failures are taken out of the count, not only that of
the member at hand: the chord waits again, until the last of them has succeeded. A member that came back under a fresh
task id is known by its place in the header.
"""

from __future__ import annotations

import math
from typing import Any, Final

from celery import states

# KEYS 1 results (.j, sorted set by header index), 2 members counted (.d, set), 3 size (.s), 4 difference of the size
# (.t), 5 claim (.c), 6 members taken out (ours, set). ARGV pairs: a failed result as stored, its member as counted.
# No clock. Returns how many failures were taken out.
_REPAIR: Final = """
if redis.call('GET', KEYS[5]) == 'done' then return 0 end
local taken = 0
for i = 1, #ARGV, 2 do
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    redis.call('SREM', KEYS[2], ARGV[i + 1])
    redis.call('SADD', KEYS[6], ARGV[i + 1])
    taken = taken + 1
  end
end
local known = redis.call('ZCARD', KEYS[1])
for _, member in ipairs(redis.call('SMEMBERS', KEYS[6])) do
  local index = string.match(member, ':(%d+)$')
  local is_back = redis.call('SISMEMBER', KEYS[2], member) == 1
    or (index and redis.call('ZCOUNT', KEYS[1], index, index) > 0)
  if not is_back then known = known + 1 end
end
if known == 0 then return 0 end
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('SET', KEYS[3], known - tonumber(redis.call('GET', KEYS[4]) or 0))
end
local ttl = redis.call('PTTL', KEYS[1])
if ttl <= 0 then ttl = 86400000 end
redis.call('PEXPIRE', KEYS[3], ttl)
redis.call('PEXPIRE', KEYS[6], ttl)
if taken > 0 then redis.call('DEL', KEYS[5]) end
return taken
"""


def can_repair(backend: Any) -> bool:
    """Whether this is a backend whose chords are kept in the keys known here."""
    return hasattr(backend, "_chord_part_return_script") and bool(getattr(backend, "_chord_zset", False))


def repair(backend: Any, group: str) -> int:
    """
    Let a chord that failed wait again; how many failed members it waits for now, beside those still running.

    Args:
        backend: The app's Redis result backend.
        group: Id of the chord's header.
    """
    keys = [backend.get_key_for_group(group, suffix) for suffix in (".j", ".d", ".s", ".t", ".c", ".fx")]
    failures: list[Any] = []
    for entry, index in backend.client.zrange(keys[0], 0, -1, withscores=True):
        _, task_id, state, _ = backend.decode(entry)
        if state in states.EXCEPTION_STATES:
            failures += (entry, f"{task_id}:{int(index) if math.isfinite(index) else '+inf'}")
    return int(backend.client.eval(_REPAIR, len(keys), *keys, *failures))
