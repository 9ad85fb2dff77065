"""Last good values in a real store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fluxora_tasks import LastGoodFallback, with_fallback
from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.fallback import last_outcome
from fluxora_tasks.fallback.kept import LastGoodValues
from fluxora_tasks.fallback.shared import RedisLastGood
from fluxora_tasks.state import StateStore
from tests.integration.fallback.conftest import HandLane
from tests.servers import StoreServer, free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def shared(state: StateStore, lane: HandLane) -> RedisLastGood:
    return RedisLastGood(state, lane)


def commands(state: StateStore) -> int:
    return int(state.run(lambda client: client.info("stats"))["total_commands_processed"])


def service(values: LastGoodValues, result: Any, **options: Any) -> Callable[..., Any]:
    """A guarded call of one worker."""

    def call(*args: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    return with_fallback(LastGoodFallback(values=values, **options), operation="weather")(call)


def test_one_workers_result_is_anothers_fallback(shared: RedisLastGood, lane: HandLane) -> None:
    """With its age by the server's clock."""
    here, there = LastGoodValues(shared), LastGoodValues(shared)
    assert service(here, {"t": 20})("Oslo") == {"t": 20}
    lane.turn()
    assert service(there, ConnectionError())("Oslo") == {"t": 20}
    outcome = last_outcome()
    assert outcome is not None
    assert outcome.age is not None
    assert 0 <= outcome.age < 30
    with pytest.raises(ConnectionError):
        service(there, ConnectionError())("Rome")


def test_storing_takes_no_round_trip_of_the_call(shared: RedisLastGood, state: StateStore, lane: HandLane) -> None:
    """A thousand results are one command of the lane."""
    call = service(LastGoodValues(shared), 1)
    before = commands(state)
    for _ in range(1000):
        call("Oslo")
    assert commands(state) - before == 1, "the question itself"
    lane.turn()
    lane.turn()
    assert commands(state) - before == 3, "the two questions and one SET"


def test_a_storm_of_fallbacks_asks_once(shared: RedisLastGood, state: StateStore, lane: HandLane) -> None:
    """What this process knows is enough for a while."""
    service(LastGoodValues(shared), 1)("Oslo")
    lane.turn()
    call = service(LastGoodValues(shared), ConnectionError())
    call("Oslo")
    before = commands(state)
    for _ in range(500):
        assert call("Oslo") == 1
    assert commands(state) - before == 1


def test_a_value_ends_on_the_server(shared: RedisLastGood, state: StateStore, lane: HandLane) -> None:
    """Each key with its time to live."""
    service(LastGoodValues(shared), 1, max_age=60)("Oslo")
    lane.turn()
    (key,) = state.run(lambda client: client.keys("fx:lg:*"))
    assert key.startswith(b"fx:lg:weather:1:")
    assert 0 < state.run(lambda client: client.pttl(key)) <= 60_000
    state.run(lambda client: client.pexpire(key, 1))
    wait_until(lambda: shared.find(key.decode()) is None)
    with pytest.raises(ConnectionError):
        service(LastGoodValues(shared), ConnectionError(), max_age=60)("Oslo")


def test_age_is_what_the_server_says(shared: RedisLastGood, state: StateStore) -> None:
    """What is left of the time to live, of what it was; no worker's clock."""
    state.run(lambda client: client.set("fx:lg:x", b"60000\n[1]", px=20_000))
    found = shared.find("fx:lg:x")
    assert found is not None
    assert found.payload == b"[1]"
    assert 40 <= found.age < 50
    state.run(lambda client: client.set("fx:lg:x", b"60000\n[1]"))
    assert shared.find("fx:lg:x") is None, "a value without an end is none of ours"


def test_time_spent_waiting_counts(state: StateStore, lane: HandLane) -> None:
    """A value that waited is as old as it is; one that waited too long is not written."""
    now = [100.0]
    shared = RedisLastGood(state, lane, lambda: now[0])
    shared.keep("fx:lg:a", b"1", 60.0)
    shared.keep("fx:lg:b", b"2", 10.0)
    now[0] += 20
    lane.turn()
    found = shared.find("fx:lg:a")
    assert found is not None
    assert 20 <= found.age < 30
    assert shared.find("fx:lg:b") is None


def test_one_turn_writes_so_much(shared: RedisLastGood, state: StateStore, lane: HandLane) -> None:
    """Others need the lane, too; what waits is bounded, the oldest goes."""
    payload = b"x" * 200_000
    for number in range(60):
        shared.keep(f"fx:lg:{number}", payload, 60.0)
    lane.turn()
    written = state.run(lambda client: client.dbsize())
    assert 5 <= written <= 6
    for _ in range(10):
        lane.turn()
    assert state.run(lambda client: client.dbsize()) == 41, "8 MiB of 12"
    assert shared.find("fx:lg:0") is None
    assert shared.find("fx:lg:59") is not None


def test_with_the_store_away_a_call_is_not_held_up(lane: HandLane) -> None:
    """The process goes on with what it knows; the lane is told."""
    values = LastGoodValues(RedisLastGood(StateStore(f"redis://127.0.0.1:{free_port()}/0"), lane))
    service(values, "known")("Oslo")
    with pytest.raises(StoreUnavailable):
        lane.turn()
    assert service(values, ConnectionError())("Oslo") == "known"
    with pytest.raises(ConnectionError):
        service(values, ConnectionError())("Rome")


def test_what_waits_for_a_store_that_is_away_is_dropped(shared: RedisLastGood, lane: HandLane) -> None:
    """Later results are kept."""
    shared.keep("fx:lg:a", b"1", 60.0)
    shared.on_store(False)
    lane.turn()
    assert shared.find("fx:lg:a") is None
    shared.keep("fx:lg:a", b"2", 60.0)
    lane.turn()
    assert shared.find("fx:lg:a") is not None


FORK = """
import os, sys
from fluxora_tasks.fallback.shared import RedisLastGood
from fluxora_tasks.state import StateStore

class Lane:
    added = 0
    def add(self, participant): self.added += 1
    def wake(self, within, participant): pass

lane = Lane()
shared = RedisLastGood(StateStore(sys.argv[1]), lane)
shared.keep("fx:lg:parent", b"1", 60.0)
shared._lock.acquire()
pid = os.fork()
if pid == 0:
    shared.turn()
    shared.keep("fx:lg:child", b"2", 60.0)
    shared.turn()
    os._exit(lane.added)
shared._lock.release()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_forked_child_begins_anew(store: StoreServer, shared: RedisLastGood) -> None:
    """It waits for no lock of the parent's, writes its own values only, and joins the lane itself."""
    ended = subprocess.run([sys.executable, "-c", FORK, store.state_url()], check=False, timeout=30)
    assert ended.returncode == 2
    assert shared.find("fx:lg:child") is not None
    assert shared.find("fx:lg:parent") is None
