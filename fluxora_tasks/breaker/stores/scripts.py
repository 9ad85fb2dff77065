"""The scripts of circuits, each one atomic step on the server [redis]; see ``lua/circuit.lua`` for what they take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import redis
from redis.exceptions import NoScriptError

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.scripts import Script

Call = tuple[Script, Sequence[str], Sequence[Any]]


FLUSH: Final = Script(__package__, "circuit", "flush")
ADMIT: Final = Script(__package__, "circuit", "admit")
SETTLE: Final = Script(__package__, "circuit", "settle")
ORDER: Final = Script(__package__, "circuit", "order")
RENEW: Final = Script(__package__, "renew")
SEEN: Final = Script(__package__, "seen")


def run(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """
    The answers of several scripts in one round trip; a second one for those the server has not loaded.

    An answer may be a ``ResponseError``: of a script that the server refused.
    """
    answers = _sent(client, [script.command(keys, args) for script, keys, args in calls])
    unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    again = [calls[place] for place in unknown]
    repeated = _sent(client, [script.whole_command(keys, args) for script, keys, args in again])
    for place, answer in zip(unknown, repeated, strict=True):
        answers[place] = answer
    return answers


def _sent(client: redis.Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    if not commands:
        return []
    pipeline: Any
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute(raise_on_error=False))


@lru_cache(maxsize=1024)
def numbers(policy: BreakerPolicy) -> tuple[Any, ...]:
    """A policy as the scripts take it, ``ARGV[6]`` to ``ARGV[23]``."""
    return (
        policy.bucket_ms,
        policy.buckets,
        policy.min_calls,
        repr(policy.failure_rate),
        repr(policy.slow_rate),
        policy.all_failed or 0,
        policy.min_reporters,
        policy.cooldown_ms,
        repr(policy.multiplier),
        policy.cooldown_max_ms,
        repr(policy.jitter),
        policy.decay_ms,
        policy.probes,
        policy.probes_required,
        policy.concurrent_probes,
        round(policy.probe_lease * 1000),
        0 if policy.half_open_max is None else round(policy.half_open_max * 1000),
        policy.digest,
    )
