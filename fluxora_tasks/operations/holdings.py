"""What the broker and the workers still hold: messages that are neither done nor dead yet [celery, kombu].

Redis: every message can be read where it lies, so the answer is a set of ids. RabbitMQ shows nobody the messages
in a queue, so the answer is a number.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery
from kombu import Connection
from kombu.transport.redis import Channel as RedisChannel

from fluxora_tasks.deadletter.envelope import DEAD_LETTER_TYPE
from fluxora_tasks.deadletter.identity import MESSAGE_ID
from fluxora_tasks.deadletter.topology import RECORDER_UNACKED
from fluxora_tasks.transport.amqp_delay import HIGHEST, LOWEST, Target, level_name
from fluxora_tasks.transport.delay import delayed_envelope
from fluxora_tasks.transport.holding import Keys

_SLICE: Final = 500

#: Seconds workers have to answer.
_INSPECT_TIMEOUT: Final = 1.5


@dataclass(frozen=True, slots=True)
class Holdings:
    """Messages on their way.

    Attributes:
        message_ids: Ids found at the broker; ``None`` where it does not show them.
        queued: Messages in queues, dead-letter queue included.
        held: Messages in the hands of workers, as they say themselves.
    """

    message_ids: frozenset[str] | None
    queued: int = 0
    held: int = 0
    queues: dict[str, int] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether no message is on its way anywhere."""
        return not self.queued and not self.held


def holdings_of(app: Celery, connection: Connection, dead_letter_queue: str) -> Holdings:
    """
    Look everywhere.

    Raises:
        Exception: the transport's own errors where the broker does not answer.
    """
    channel = connection.default_channel
    if isinstance(channel, RedisChannel):
        return _redis_holdings(channel, {*app.amqp.queues, dead_letter_queue})
    queues, held = _ask_workers(app)
    work = {*app.amqp.queues, *queues}
    return _counted(connection, {*work, dead_letter_queue, *_delay_queues(work)}, held)


# -- Redis ------------------------------------------------------------------------------------------------------


def _redis_holdings(channel: Any, queues: set[str]) -> Holdings:
    ids: set[str] = set()
    sizes: dict[str, int] = {}
    for queue in sorted(queues | _bound_queues(channel)):
        messages = [message for key in _lists_of(channel, queue) for message in _list_items(channel, key)]
        sizes[queue] = len(messages)
        ids.update(filter(None, map(_message_id, messages)))
    unacked = [message for key in {channel.unacked_key, RECORDER_UNACKED} for message in _unacked(channel, key)]
    delayed = list(_delayed(channel))
    ids.update(filter(None, map(_message_id, [*unacked, *delayed])))
    return Holdings(frozenset(ids), sum(sizes.values()) + len(delayed), len(unacked), sizes)


# kombu's client puts the global prefix before the keys of the commands it uses itself, SMEMBERS among them; not before
# those of SCAN, TYPE, LRANGE, HSCAN and ZSCAN.


def _bound_queues(channel: Any) -> set[str]:
    """Queues of any application on this broker, read from kombu's binding tables."""
    found: set[str] = set()
    prefix = channel.global_keyprefix
    for key in channel.client.scan_iter(match=prefix + channel.keyprefix_queue % "*", count=_SLICE):
        if channel.client.type(key) == b"set":
            members = channel.client.smembers(key.decode().removeprefix(prefix))
            found.update(member.decode().rsplit(channel.sep, 1)[-1] for member in members)
    return {name for name in found if not name.endswith(".pidbox") and not name.startswith("celeryev")}


def _lists_of(channel: Any, queue: str) -> Iterable[str]:
    return {channel._q_for_pri(queue, priority) for priority in channel.priority_steps}


def _list_items(channel: Any, key: str) -> Iterator[dict[str, Any]]:
    start = 0
    key = channel.global_keyprefix + key
    while items := channel.client.lrange(key, start, start + _SLICE - 1):
        yield from filter(None, map(_parsed, items))
        start += _SLICE


def _unacked(channel: Any, key: str) -> Iterator[dict[str, Any]]:
    for _, value in channel.client.hscan_iter(channel.global_keyprefix + key, count=_SLICE):
        entry = _parsed(value)
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            yield entry[0]


def _delayed(channel: Any) -> Iterator[dict[str, Any]]:
    """Messages that wait for their time."""
    delayed = Keys.of(channel.global_keyprefix, channel.unacked_key).delayed
    for member, _ in channel.client.zscan_iter(delayed, count=_SLICE):
        message = _parsed(delayed_envelope(member))
        if message is not None:
            yield message


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _message_id(message: Any) -> str | None:
    """Our id of a message in kombu's envelope; of a dead letter, the id of the message it is about."""
    try:
        if message.get("content-type") == DEAD_LETTER_TYPE:
            return str(json.loads(base64.b64decode(message["body"]))["message_id"])
        headers = message["headers"]
        return str(headers.get(MESSAGE_ID) or headers["id"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


# -- RabbitMQ ---------------------------------------------------------------------------------------------------


def _ask_workers(app: Celery) -> tuple[set[str], int]:
    """The queues that live workers consume, and how many messages they have in hand."""
    inspect = app.control.inspect(timeout=_INSPECT_TIMEOUT)
    queues = {queue["name"] for per_worker in (inspect.active_queues() or {}).values() for queue in per_worker}
    if not queues:
        return set(), 0
    tasks = [inspect.active(), inspect.reserved(), inspect.scheduled()]
    held = sum(len(entries) for answer in tasks for entries in (answer or {}).values())
    unsettled = inspect._request("fluxora_unsettled") or {}
    return queues, held + sum(int(answer.get("unsettled", 0)) for answer in unsettled.values())


def _delay_queues(work: set[str]) -> set[str]:
    """Where messages for these queues wait for their time."""
    levels = {level_name(level) for level in range(LOWEST, HIGHEST + 1)}
    return levels | {Target("", queue).queue_name for queue in work}


def _counted(connection: Connection, queues: set[str], held: int) -> Holdings:
    sizes = {queue: _size(connection, queue) for queue in sorted(queues)}
    return Holdings(None, sum(sizes.values()), held, sizes)


def _size(connection: Connection, queue: str) -> int:
    """Messages ready in a queue; 0 where it does not exist. Asking for a missing one closes the channel."""
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0
