"""Toggles and last good values kept up by the process's thread for shared state."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fluxora_tasks import LastGoodFallback, with_fallback
from fluxora_tasks.fallback import last_outcome
from fluxora_tasks.fallback.kept import LastGoodValues
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.shared import RedisLastGood
from fluxora_tasks.fallback.stores import RedisToggleStore
from fluxora_tasks.fallback.toggles import Mode, Switch, SwitchKind
from fluxora_tasks.lane import lane_of
from fluxora_tasks.shared import use
from fluxora_tasks.state import StateStore
from tests.servers import PrivateStore, StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def toggles_of(state: StateStore) -> Toggles:
    """Toggles of one process."""
    return Toggles(RedisToggleStore(state), lane_of(state))


def values_of(state: StateStore) -> LastGoodValues:
    """Last good values of one process."""
    return LastGoodValues(RedisLastGood(state, lane_of(state)))


@pytest.fixture
def operator(store: StoreServer) -> Iterator[RedisToggleStore]:
    """Somebody else's process."""
    state = StateStore(store.state_url())
    yield RedisToggleStore(state)
    state.close()


@pytest.fixture
def here(state: StateStore) -> Iterator[Toggles]:
    toggles = toggles_of(state)
    yield toggles
    lane_of(state).stop()


def test_a_change_is_pushed(here: Toggles, operator: RedisToggleStore) -> None:
    """Long before anybody would have looked."""
    here.interval = 600.0
    assert here.is_enabled("x")
    operator.put(Switch(SwitchKind.TOGGLE, "first", "off"))
    wait_until(lambda: not here.is_enabled("first"))
    operator.put(Switch(SwitchKind.TOGGLE, "x", "off"))
    wait_until(lambda: not here.is_enabled("x"), 5)
    operator.remove(SwitchKind.TOGGLE, "x", "ann")
    wait_until(lambda: here.is_enabled("x"), 5)


def test_a_change_that_nobody_heard_is_found(here: Toggles, operator: RedisToggleStore) -> None:
    """The poll is the backstop."""
    here.channels, here.interval = (), 0.05
    assert here.is_enabled("x")
    operator.put(Switch(SwitchKind.TOGGLE, "x", "off"))
    wait_until(lambda: not here.is_enabled("x"), 5)


def test_asking_takes_no_command(here: Toggles, operator: RedisToggleStore, state: StateStore) -> None:
    """Ten thousand questions, none to the server."""
    operator.put(Switch(SwitchKind.MODE, "op", "always"), None)
    wait_until(lambda: here.mode("op") is not None)
    here.interval = 600.0
    here.refresh()
    lane_of(state).stop(5)

    def commands() -> int:
        return int(state.run(lambda client: client.info("stats"))["total_commands_processed"])

    before = commands()
    here._joined = True  # nobody starts the lane again
    for _ in range(10_000):
        assert here.mode("op") is not None
    assert commands() - before == 1, "the question itself"


def test_operators_reach_every_guarded_call(state: StateStore, operator: RedisToggleStore) -> None:
    """Of the process that uses the state."""
    use(lambda: state)
    try:
        call = with_fallback(LastGoodFallback(), operation="weather")(lambda: "live")
        assert call() == "live"
        operator.put(Switch(SwitchKind.MODE, "weather", "always", "ann", "rehearsal"))
        wait_until(lambda: call() == "live" and (outcome := last_outcome()) is not None and outcome.degraded, 5)
        operator.put(Switch(SwitchKind.MODE, "weather", "auto", "ann", "over"))
        wait_until(lambda: call.fallback.mode() is Mode.AUTO, 5)  # type: ignore[attr-defined]
    finally:
        use(lambda: None)
        lane_of(state).stop()


def test_a_value_is_written_soon(state: StateStore) -> None:
    """Without a turn of anybody's hand; found by another worker."""
    here, there = values_of(state), values_of(state)
    here.keep("fx:lg:x", b"1", 60.0, 10.0)
    wait_until(lambda: found(there) == b"1", 5)
    lane_of(state).stop()


def found(values: LastGoodValues) -> bytes | None:
    kept = values.find("fx:lg:x")
    return kept.payload if kept is not None else None


SCRIPT = """
import os, sys, time
from fluxora_tasks.fallback.registry import last_good_values, toggles
from fluxora_tasks.shared import use
from fluxora_tasks.fallback.toggles import Switch, SwitchKind
from fluxora_tasks.lane import lane_of
from fluxora_tasks.state import StateStore

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            os._exit(9)
        time.sleep(0.005)

state = StateStore(sys.argv[1])
use(lambda: state)
toggles().is_enabled("x")
toggles().store.put(Switch(SwitchKind.TOGGLE, "known", "off"))
until(lambda: not toggles().is_enabled("known"))
pid = os.fork()
if pid == 0:
    if toggles().is_enabled("known"):
        os._exit(1)
    toggles().store.put(Switch(SwitchKind.TOGGLE, "x", "off"))
    until(lambda: not toggles().is_enabled("x"))
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
until(lambda: not toggles().is_enabled("x"))
last_good_values().keep("fx:lg:x", b"at the end", 60.0, 10.0)
sys.exit(code)
"""


def test_forked_children_hear_of_changes_and_an_ending_process_writes(store: StoreServer, state: StateStore) -> None:
    """The child knows what its parent knew, then hears for itself; what waits at the end of a process is written."""
    ended = subprocess.run([sys.executable, "-c", SCRIPT, store.state_url()], check=False, timeout=60)
    assert ended.returncode == 0
    assert found(values_of(state)) == b"at the end"
    lane_of(state).stop()


def test_a_store_that_comes_back_is_read(seen: list[Any]) -> None:
    """What was known stays in force meanwhile; nothing raises."""
    server = PrivateStore()
    state, other = (StateStore(server.server.state_url()) for _ in range(2))
    here = toggles_of(state)
    here.interval = 0.05
    try:
        here.store.put(Switch(SwitchKind.TOGGLE, "x", "off"), None)
        wait_until(lambda: not here.is_enabled("x"))
        server._store.stop()
        wait_until(lambda: state._closed_until > 0.0)
        assert not here.is_enabled("x")
        server._store.start()
        RedisToggleStore(other).remove(SwitchKind.TOGGLE, "x", "ann")
        wait_until(lambda: here.is_enabled("x"), 20)
        assert [(event.previous, event.current) for event in seen] == [("", "off"), ("off", "")]
    finally:
        lane_of(state).stop()
        server.stop()
