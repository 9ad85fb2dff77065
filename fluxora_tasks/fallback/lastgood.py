"""LastGoodFallback: the last result of the same call, as long as it is not too old."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from fluxora_tasks.errors import ConfigurationError, NoFallbackValue
from fluxora_tasks.fallback.call import Answer, Call, argument_key
from fluxora_tasks.fallback.kept import Kept, LastGoodValues
from fluxora_tasks.fallback.registry import last_good_values
from fluxora_tasks.fallback.strategies import InformedStrategy
from fluxora_tasks.state import PREFIX

logger = logging.getLogger(__name__)

#: Largest JSON that is kept, in bytes.
LARGEST: Final = 256 * 1024

#: Seconds for which results of a call are not looked at whose last one could not be kept.
_PASS_OVER: Final = 60.0


class LastGoodFallback(InformedStrategy):
    """The last result of a call with the same arguments, from any worker. Learns from results only, never from
    fallbacks.

    Values are kept as JSON and come back as JSON has them: tuples as lists, keys as text. What is not JSON, or more
    than 256 KiB of it, is not kept, which is said once. ``None`` is a value. Storing takes no round trip of the
    caller's; while Redis is away, each process goes on with what it knows.

    Args:
        max_age: Seconds (or a ``timedelta``) after which a value is not given any more, by the store's clock.
        soft_age: Seconds after which a value is marked as stale. ``None``: it never is.
        key: What tells calls apart, from their arguments. ``None``: all arguments do, as JSON.
        version: Change it when values of an earlier release must not be given any more.
        store_every: Seconds in which at most one result of a call is kept; from 0.
        operation: Name under which values are kept, for operations that share them. ``None``: each for itself.
        values: Where they are kept. ``None``: where this process keeps them.
    """

    source = "last_good"
    learns = True

    def __init__(
        self,
        max_age: float | timedelta = 3600.0,
        soft_age: float | timedelta | None = None,
        key: Callable[..., Any] | None = None,
        *,
        version: str = "1",
        store_every: float | timedelta = 10.0,
        operation: str | None = None,
        values: LastGoodValues | None = None,
    ) -> None:
        self.max_age = _seconds("max_age", max_age, above_zero=True)
        self.soft_age = None if soft_age is None else _seconds("soft_age", soft_age)
        self.store_every = _seconds("store_every", store_every)
        self.version, self.operation = version, operation
        self._key, self._values = key, values
        self._said: set[str] = set()
        if key is not None and not callable(key):
            raise ConfigurationError(f"key takes a function of the call's arguments; got {key!r}")

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The last good value for these arguments; for one with an ``operation`` of its own."""
        return self.answer(Call("", args, kwargs)).value

    def at_once(self, call: Call) -> Answer | None:
        """What this process knows, if that is enough for now."""
        enough, kept = self.values.recent(self._key_of(call.operation, call.args, call.kwargs))
        return self._answer(kept) if enough else None

    def answer(self, call: Call) -> Answer:
        """The youngest value that anybody kept."""
        return self._answer(self.values.find(self._key_of(call.operation, call.args, call.kwargs)))

    def succeeded(self, operation: str, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Keep a result, if the last one was a while ago."""
        try:
            key = self._key_of(operation, args, kwargs)
        except Exception as error:  # noqa: BLE001 - a key function of the application's own
            self._say_once(operation, f"no key for its arguments ({type(error).__name__}); give key=...")
            return
        if self.values.is_due(key):
            self._keep(operation, key, value)

    @property
    def values(self) -> LastGoodValues:
        """Where values are kept."""
        return self._values if self._values is not None else last_good_values()

    def _keep(self, operation: str, key: str, value: Any) -> None:
        payload = encoded(value)
        if isinstance(payload, bytes):
            self.values.keep(key, payload, self.max_age, self.store_every)
            return
        self.values.pass_over(key, max(_PASS_OVER, self.store_every))
        self._say_once(operation, payload)

    def _answer(self, kept: Kept | None) -> Answer:
        if kept is None or kept.age > self.max_age:
            raise NoFallbackValue(f"nothing kept of the last {self.max_age:g} s")
        stale = self.soft_age is not None and kept.age > self.soft_age
        return Answer(json.loads(kept.payload), self.source, kept.age, stale)

    def _key_of(self, operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        if self._key is not None:
            args, kwargs = (self._key(*args, **kwargs),), {}
        return f"{PREFIX}lg:{self.operation or operation}:{self.version}:{argument_key(args, kwargs)}"

    def _say_once(self, operation: str, why: str) -> None:
        line = f"{self.operation or operation}: {why}"
        if line not in self._said and len(self._said) < 100:
            self._said.add(line)
            logger.warning("last good values are not kept: %s", line)


def encoded(value: Any) -> bytes | str:
    """The JSON of a value, or why it cannot be kept."""
    if isinstance(value, (str, bytes, list, tuple, dict)) and len(value) > LARGEST:
        return f"more than {LARGEST // 1024} KiB"
    try:
        payload = json.dumps(value, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        return f"{type(value).__name__} has no JSON form"
    return payload if len(payload) <= LARGEST else f"more than {LARGEST // 1024} KiB"


def _seconds(name: str, value: float | timedelta, above_zero: bool = False) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"{name} is a number of seconds; got {value!r}")
    if above_zero and seconds == 0:
        raise ConfigurationError(f"{name} is above 0; got 0")
    return float(seconds)
