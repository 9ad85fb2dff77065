"""The dead-letter queue on Redis [kombu, redis]: many messages per round trip, none between two places.

kombu takes a message off its list and files it as unacknowledged in two steps; a recorder killed in between would
lose it. Here one script does both. The keys and their contents stay those of kombu, so that whoever looks for
unacknowledged messages finds these.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from kombu import Connection, Queue
from kombu.transport.redis import Channel, SentinelChannel

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.ledger.intake import GLANCE, payload_of

T = TypeVar("T")

#: Seconds between two looks at an empty queue: first, longest.
_FIRST_LOOK: Final = 0.01
_LONGEST_LOOK: Final = 0.1

#: Seconds between two rounds that keep what we hold and return what others left.
_ROUND: Final = 5.0

#: Bytes fetched at once, at most (one message more).
_FETCHED_BYTES: Final = 16 * 1024 * 1024

# KEYS 1 unacked (hash: tag -> [message, exchange, routing key]), 2 index (sorted set: tag by time filed, seconds),
# 3.. lists of messages, by priority. ARGV 1 prefix of tags, 2 number of the first tag, 3 messages at most,
# 4 bytes at most, 5 end of an entry of the hash. Returns tag, message, tag, message, … Clock: the server's.
_FETCH: Final = """
local seconds = redis.call('TIME')[1]
local fetched, bytes, count = {}, 0, 0
for place = 3, #KEYS do
  while count < tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) do
    local message = redis.call('RPOP', KEYS[place])
    if not message then break end
    local tag = ARGV[1] .. string.format('%.0f', ARGV[2] + count)
    redis.call('HSET', KEYS[1], tag, '[' .. message .. ARGV[5])
    redis.call('ZADD', KEYS[2], seconds, tag)
    count, bytes = count + 1, bytes + #message
    fetched[2 * count - 1], fetched[2 * count] = tag, message
  end
end
return fetched
"""

# KEYS 1, 2 as above, 3 list to return messages to. ARGV 1 seconds after which an entry is abandoned, 2 end of an
# entry, 3.. tags to keep. Returns how many were returned; an entry of another form stays. Clock: the server's.
_KEEP: Final = """
local seconds = redis.call('TIME')[1]
for place = 3, #ARGV do redis.call('ZADD', KEYS[2], 'XX', seconds, ARGV[place]) end
local returned = 0
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', seconds - ARGV[1], 'LIMIT', 0, 100)) do
  local entry = redis.call('HGET', KEYS[1], tag)
  if not entry then
    redis.call('ZREM', KEYS[2], tag)
  elseif string.sub(entry, -#ARGV[2]) == ARGV[2] then
    redis.call('RPUSH', KEYS[3], string.sub(entry, 2, -#ARGV[2] - 1))
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
    returned = returned + 1
  end
end
return returned
"""

# KEYS as above. ARGV 1 end of an entry, 2.. tags to return, the one to be delivered first last.
_RETURN: Final = """
for place = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[place])
  if entry then
    redis.call('RPUSH', KEYS[3], string.sub(entry, 2, -#ARGV[1] - 1))
    redis.call('HDEL', KEYS[1], ARGV[place])
    redis.call('ZREM', KEYS[2], ARGV[place])
  end
end
return 0
"""


def is_served(channel: Any) -> bool:
    """Whether the channel is one whose keys lie on one server."""
    return type(channel) in (Channel, SentinelChannel)


class RedisIntake(Generic[T]):
    """Fetches, files and settles by script.

    Args:
        connection: Its own; established. Its options name the keys of unacknowledged messages and the seconds
            after which they count as abandoned.
        queue: Declared if missing.
        prefetch: Messages fetched at once, at most.
        read: What to make of a message.
        unreadable: What to make of bytes that are no message of kombu.
    """

    def __init__(
        self,
        connection: Connection,
        queue: Queue,
        *,
        prefetch: int,
        read: Callable[[Payload], T],
        unreadable: Callable[[Payload, str], T],
    ) -> None:
        self.waiting: deque[T] = deque()
        self._tags: deque[bytes] = deque()
        self._read, self._unreadable, self._prefetch = read, unreadable, prefetch
        channel = self._channel = connection.channel()
        queue(channel).declare()
        self._client = channel.client
        prefix = channel.global_keyprefix
        self._unacked = [prefix + channel.unacked_key, prefix + channel.unacked_index_key]
        self._lists = [prefix + channel._q_for_pri(queue.name, step) for step in channel.priority_steps]
        self._abandoned_after = channel.visibility_timeout
        self._entry_end = f',"",{json.dumps(queue.name)}]'
        self._tag_prefix = f"{channel.unacked_key}.{time.time_ns():x}.{id(self):x}."
        self._fetched = 0
        self._look = _FIRST_LOOK
        self._next_round = 0.0

    def drain(self, timeout: float) -> bool:
        """Fetch what is there, or wait for it; ``False`` if nothing came in time."""
        end = time.monotonic() + timeout
        while True:
            self._keep_round()
            if self._fetch():
                self._look = _FIRST_LOOK
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, self._look))
            self._look = min(self._look * 1.5, _LONGEST_LOOK)

    def acknowledge(self, count: int) -> None:
        """Settle the first ``count`` messages in one round trip."""
        tags = [self._tags[place] for place in range(count)]
        with self._client.pipeline(transaction=True) as pipe:
            # the pipeline puts the prefix before the keys by itself
            pipe.hdel(self._channel.unacked_key, *tags)
            pipe.zrem(self._channel.unacked_index_key, *tags)
            pipe.execute()
        for _ in tags:
            self._tags.popleft()
            self.waiting.popleft()

    def breathe(self, pause: float, stop: threading.Event) -> None:
        """Wait, and keep what is held from counting as abandoned."""
        end = time.monotonic() + pause
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            self._keep_round()
            stop.wait(min(left, GLANCE))

    def close(self) -> None:
        """Return what is held, in its order."""
        if self._tags:
            self._run(_RETURN, [*self._unacked, self._lists[0]], [self._entry_end, *reversed(self._tags)])
            self._tags.clear()
            self.waiting.clear()

    def _fetch(self) -> bool:
        room = self._prefetch - len(self._tags)
        if room <= 0:
            return False
        found = self._run(
            _FETCH,
            [*self._unacked, *self._lists],
            [self._tag_prefix, self._fetched, room, _FETCHED_BYTES, self._entry_end],
        )
        self._fetched += len(found) // 2
        for tag, raw in zip(found[::2], found[1::2], strict=True):
            self._tags.append(tag)
            self.waiting.append(self._read_raw(raw))
        return bool(found)

    def _read_raw(self, raw: bytes) -> T:
        try:
            message = self._channel.message_to_python(json.loads(raw))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            return self._unreadable(Payload(raw), f"not a message of kombu: {type(exc).__name__}")
        return self._read(payload_of(message))

    def _keep_round(self) -> None:
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + _ROUND
            self._run(
                _KEEP,
                [*self._unacked, self._lists[0]],
                [self._abandoned_after, self._entry_end, *self._tags],
            )

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        return self._client.eval(script, len(keys), *keys, *arguments)
