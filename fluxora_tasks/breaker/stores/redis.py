"""RedisBreakerStore: circuits that all workers share [redis]; a step is one script, on the server's clock alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, Order, Override, Report, Result, Snapshot, Status, Transition
from fluxora_tasks.breaker.stores import scripts
from fluxora_tasks.breaker.stores.answers import (
    FIELDS,
    snapshot_of_answer,
    status_of_answers,
    transition_of_entry,
)
from fluxora_tasks.breaker.stores.names import NotedNames
from fluxora_tasks.breaker.stores.order import check_generation, milliseconds
from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.scripts import Script
from fluxora_tasks.state import PREFIX, StateStore

logger = logging.getLogger(__name__)

#: Pub/sub: each change of a circuit, see ``answers.snapshot_of_push``.
EVENT_CHANNEL: Final = f"{PREFIX}cb:ev"

#: Sorted set: name -> when it was last heard of.
NAMES_KEY: Final = f"{PREFIX}cb:names"

#: As long as history is kept.
_NAME_MS: Final = 30 * 86_400_000


class RedisBreakerStore:
    """
    A ``BreakerStore`` in shared state; safe for threads and forks.

    Args:
        state: Shared state.
        random: Spreads the ends of cooldowns.
        clock: For tests: time in ms instead of the server's.
        monotonic: Time in seconds between two notes of a name; decides nothing else.
    """

    def __init__(
        self,
        state: StateStore,
        random: Random | None = None,
        clock: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._random = random or Random()  # noqa: S311 - spreads cooldowns, not a secret
        self._clock = clock
        self._noted = NotedNames(monotonic)

    def flush(self, reports: Sequence[Report], reporter: str) -> list[Snapshot | None]:
        """Fold reports in, in one round trip; if the server refuses them all, it is taken for away."""
        if not reports:
            return []
        calls = [self._call(scripts.FLUSH, r.name, r.policy, reporter, *_said(r)) for r in reports]
        names = self._noted.due(report.name for report in reports)
        answers = self._run([*calls, self._seen(names)] if names else calls)
        self._noted.add(names)
        if all(isinstance(answer, ResponseError) for answer in answers[: len(reports)]):
            _sound(answers[0])
        return [_snapshot(r.name, answer) for r, answer in zip(reports, answers, strict=False)]

    def admit(self, name: str, lease: str, policy: BreakerPolicy, reporter: str) -> Admission:
        """Ask for a permit."""
        answer = self._one(scripts.ADMIT, name, policy, reporter, lease)
        granted, leased, again = (int(said) for said in answer[:3])
        return Admission(granted == 1, leased == 1, snapshot_of_answer(name, answer), again)

    def settle(
        self, name: str, generation: int, lease: str, result: Result, slow: bool, policy: BreakerPolicy, reporter: str
    ) -> Snapshot:
        """Give a probe's lease back with its result."""
        said = (generation, lease, result.value, int(slow))
        return snapshot_of_answer(name, self._one(scripts.SETTLE, name, policy, reporter, *said))

    def renew(self, name: str, lease: str, policy: BreakerPolicy) -> bool:
        """Keep a probe's lease alive."""
        args = [self._now(), lease, round(policy.probe_lease * 1000)]
        return bool(_sound(self._run([(scripts.RENEW, _keys(name)[2:3], args)])[0]))

    def override(
        self,
        name: str,
        override: Override,
        seconds: float | None,
        order: Order,
        policy: BreakerPolicy,
        soft: bool = False,
    ) -> Snapshot:
        """Set or end an operator's decision."""
        length = 0 if seconds is None else milliseconds(seconds)
        return self._obeyed(name, order, policy, "override", override.value, length, int(soft))

    def open_for(self, name: str, seconds: float, order: Order, policy: BreakerPolicy) -> Snapshot:
        """Open now."""
        return self._obeyed(name, order, policy, "open_for", round(seconds * 1000))

    def reset(self, name: str, order: Order, policy: BreakerPolicy) -> Snapshot:
        """Back to CLOSED."""
        return self._obeyed(name, order, policy, "reset")

    def read(self, names: Sequence[str]) -> list[Status]:
        """Everything about these circuits, in one round trip."""
        keys = [_keys(name) for name in names]

        def ask(client: redis.Redis) -> list[Any]:
            with client.pipeline(transaction=False) as pipeline:
                pipeline.time()
                for rest, window, leases, _ in keys:
                    pipeline.hmget(rest, FIELDS)
                    pipeline.hgetall(window)
                    pipeline.zrange(leases, 0, -1, withscores=True)
                return list(pipeline.execute())

        (seconds, micros), *answers = self._state.run(ask)
        now = seconds * 1000 + micros // 1000 if self._clock is None else self._clock()
        return [status_of_answers(name, now, *answers[3 * place : 3 * place + 3]) for place, name in enumerate(names)]

    def names(self) -> list[str]:
        """Circuits heard of in the last thirty days, sorted."""
        found: Any = self._state.run(lambda client: client.zrange(NAMES_KEY, 0, -1))
        return sorted(name.decode("utf-8", "replace") for name in found)

    def history(self, name: str, limit: int = 50) -> list[Transition]:
        """The latest changes, newest first."""
        key = _keys(name)[3]
        entries: Any = self._state.run(lambda client: client.xrevrange(key, count=limit))
        return [transition_of_entry(name, fields) for _, fields in entries]

    def _obeyed(self, name: str, order: Order, policy: BreakerPolicy, *what: Any) -> Snapshot:
        expected = "" if order.expected_generation is None else order.expected_generation
        answer = self._one(scripts.ORDER, name, policy, "", order.actor, order.why, expected, *what)
        snapshot = snapshot_of_answer(name, answer)
        if int(answer[0]) == 0:
            check_generation(name, snapshot.generation, order)
        self._run([self._seen([name])])
        return snapshot

    def _one(self, script: Script, name: str, policy: BreakerPolicy, reporter: str, *said: Any) -> list[Any]:
        answer: list[Any] = _sound(self._run([self._call(script, name, policy, reporter, *said)])[0])
        return answer

    def _call(self, script: Script, name: str, policy: BreakerPolicy, reporter: str, *said: Any) -> scripts.Call:
        common = (name, self._now(), repr(self._random.random()), reporter, EVENT_CHANNEL)
        return script, _keys(name), (*common, *scripts.numbers(policy), *said)

    def _seen(self, names: Sequence[str]) -> scripts.Call:
        return scripts.SEEN, [NAMES_KEY], [self._now(), _NAME_MS, *names]

    def _run(self, calls: Sequence[scripts.Call]) -> list[Any]:
        return self._state.run(lambda client: scripts.run(client, calls))

    def _now(self) -> int | str:
        return "" if self._clock is None else self._clock()


def _keys(name: str) -> list[str]:
    tagged = f"{PREFIX}cb:{{{checked_name(name)}}}"
    return [f"{tagged}:{part}" for part in "swle"]


def _said(report: Report) -> tuple[Any, ...]:
    counts, trip = report.counts, "" if report.trip_ms is None else report.trip_ms
    return report.generation, counts.calls, counts.failures, counts.slow, trip, report.refused


def _snapshot(name: str, answer: Any) -> Snapshot | None:
    if isinstance(answer, ResponseError):
        logger.warning("shared state refuses to keep circuit %r: %s", name, answer)
        return None
    return snapshot_of_answer(name, answer)


def _sound(answer: Any) -> Any:
    if isinstance(answer, ResponseError):  # read-only, out of memory, or not allowed
        raise StoreUnavailable(f"shared state refuses the scripts of circuits: {answer}") from answer
    return answer
