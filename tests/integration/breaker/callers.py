"""Processes that call through a circuit, for the tests of a fleet: ``python -m tests.integration.breaker.callers``."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import redis

from fluxora_tasks import shared
from fluxora_tasks.breaker import Permit, breakers
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.state import StateStore

#: One probe at a time, of three; leases of a second.
POLICY = BreakerPolicy(cooldown=1.0, jitter=0.0, probe_lease=1.0)


def call_on(url: str, seconds: float) -> None:
    """Ask for a permit again and again, from the moment the circuit is known; leave word of each probe, and keep it."""
    shared.use(lambda: StateStore(url))
    word = redis.Redis.from_url(url)
    circuit = breakers().get("dependency", POLICY)
    circuit.peek()
    circuit.try_acquire()
    word.rpush("ready", os.getpid())
    held: list[Permit] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = circuit.try_acquire()
        if isinstance(answer, Permit):
            held.append(answer)
            word.rpush("probes", json.dumps({"pid": os.getpid(), "lease": answer.lease, "at": _server_ms(word)}))
        time.sleep(0.002)


def _server_ms(client: Any) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def main(url: str, processes: str, seconds: str) -> None:
    """Fork so many callers: what a circuit knows and its thread do not survive that by themselves."""
    children = []
    for _ in range(int(processes)):
        child = os.fork()
        if child == 0:
            call_on(url, float(seconds))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
