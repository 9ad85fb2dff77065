"""A shared circuit under gevent: its thread is a greenlet, and nobody blocks the others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.servers import StoreServer

pytestmark = pytest.mark.integration

SCRIPT = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent
from fluxora_tasks import BreakerPolicy, CircuitBreaker, CircuitBreakerError, shared
from fluxora_tasks.lane import stop_lanes
from fluxora_tasks.state import StateStore
shared.use(lambda: StateStore(sys.argv[1]))
circuit = CircuitBreaker(name="api", policy=BreakerPolicy(all_failed=3, cooldown=0.3, jitter=0, probes=1,
                                                          probes_required=1))
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.005)
ticking = gevent.spawn(tick)
@circuit
def call(how):
    gevent.sleep(0.01)
    if how == "fail":
        raise ConnectionError
    return how
def outcome(how):
    try:
        return call(how)
    except ConnectionError:
        return "failed"
    except CircuitBreakerError as refusal:
        return refusal.state
def together(how, count):
    calls = [gevent.spawn(outcome, how) for _ in range(count)]
    gevent.joinall(calls)
    return [one.value for one in calls]
first = together("well", 50)
failures = together("fail", 50)
while circuit.get_state()["reason"] != "all_failed" and circuit.get_state()["reason"] != "failure_rate":
    gevent.sleep(0.01)
refused = together("well", 50)
gevent.sleep(0.35)
probing = together("well", 50)
while circuit.state.value != "CLOSED":
    gevent.sleep(0.01)
after = together("well", 50)
stop_lanes(2.0)
print(json.dumps({
    "first": sorted(set(first)), "failures": sorted(set(failures)), "refused": sorted(set(refused)),
    "probes": probing.count("well"), "after": sorted(set(after)),
    "longest": max(b - a for a, b in zip(ticks, ticks[1:])),
}))
"""


def test_greenlets_share_a_circuit(store: StoreServer) -> None:
    """Fifty at a time: all pass, all fail, all are refused, one probes, all pass."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, store.state_url(2)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    print(f"longest time between two ticks: {told['longest'] * 1000:.1f} ms")
    assert told["first"] == told["after"] == ["well"]
    assert "failed" in told["failures"]
    assert told["refused"] == ["OPEN"]
    assert told["probes"] == 1
