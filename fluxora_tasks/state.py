"""The Redis or Valkey that holds shared state [redis]: one client per process, bounded waits, a gate while it is away.

A part that is away costs its timeout once per gate period, not once per call. Keys of ours start with ``fx:``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from fluxora_tasks.errors import ConfigurationError, StoreUnavailable
from fluxora_tasks.forks import watch_forks

logger = logging.getLogger(__name__)

PREFIX: Final = "fx:"

#: Seconds a command or a connection attempt may take.
TIMEOUT: Final = 0.25

_GATE_FIRST, _GATE_LONGEST = 0.5, 30.0

T = TypeVar("T")


def _client(url: str) -> redis.Redis:
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            client_name="fluxora",
            decode_responses=False,
            encoding_errors="surrogatepass",  # ids of foreign messages may be any text that JSON can spell
        )
        # connects to nothing, but looks at the options of the URL
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(
            f"the Redis of the shared state cannot be used: {exc}; give FLUXORA_REDIS_URL as in "
            "redis://localhost:6379/2 or unix:///run/redis.sock?db=2"
        ) from exc
    return client


class StateStore:
    """Commands against the shared state, or ``StoreUnavailable`` without waiting while it is known to be away.

    Safe for threads and forks: the connection pool of redis-py notices both.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        monotonic: Source of time for the gate.

    Raises:
        ConfigurationError: the URL is none, or has an option that nobody knows.
    """

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = _client(url)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._closed_until = 0.0
        self._gate = _GATE_FIRST
        self._random = Random()  # noqa: S311 - spreads reconnects, not a secret
        watch_forks(self)

    def run(self, command: Callable[[redis.Redis], T]) -> T:
        """
        Run one command or script.

        Raises:
            StoreUnavailable: the store did not answer in time, or is not asked because it did not a moment ago.
        """
        if self._monotonic() < self._closed_until:
            raise StoreUnavailable("shared state is away (not asked again yet)")
        try:
            answer = command(self._client)
        except RedisError as exc:
            self.away(exc)
            raise StoreUnavailable(f"shared state is away: {type(exc).__name__}") from exc
        if self._gate != _GATE_FIRST:
            self._back()
        return answer

    def script(self, source: str) -> Callable[..., Any]:
        """A Lua script as a function (keys, args); loaded on first use, and again after a flush of the server."""
        registered = self._client.register_script(source)

        def call(keys: list[str], args: list[Any]) -> Any:
            return self.run(lambda client: registered(keys=keys, args=args, client=client))

        return call

    def connection(self) -> Any:
        """
        A connection of the caller's own, connected; for answers that are read later.

        Raises:
            StoreUnavailable: as for ``run``.
        """

        def connect(client: redis.Redis) -> Any:
            pool = client.connection_pool
            connection = pool.connection_class(**pool.connection_kwargs)
            connection.connect()
            return connection

        return self.run(connect)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def forked(self) -> None:
        """Whoever held the lock stayed behind."""
        self._lock = threading.Lock()

    def away(self, exc: Exception) -> None:
        """Do not ask for a while: it did not answer."""
        with self._lock:
            first = self._gate == _GATE_FIRST
            self._closed_until = self._monotonic() + self._gate * self._random.uniform(0.75, 1.25)
            self._gate = min(self._gate * 2, _GATE_LONGEST)
        if first:
            logger.warning("shared state is away, going on without it: %s: %s", type(exc).__name__, exc)

    def _back(self) -> None:
        with self._lock:
            self._gate, self._closed_until = _GATE_FIRST, 0.0
        logger.warning("shared state is back")
