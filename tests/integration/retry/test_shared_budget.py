"""SharedRetryBudget on a real store: counts of several processes meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.retry.shared import SharedRetryBudget
from fluxora_tasks.state import StateStore
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


class HandLane:
    """A lane whose turns the test takes."""

    def __init__(self) -> None:
        self.participants: list[Any] = []
        self.woken: list[float] = []

    def add(self, participant: Any) -> None:
        self.participants.append(participant)

    def wake(self, within: float, participant: Any = None) -> None:
        self.woken.append(within)


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    """The run's shared state."""
    state = StateStore(store.state_url(2))
    yield state
    state.close()


@pytest.fixture
def client(store: StoreServer) -> Iterator[redis.Redis]:
    """A look at what is stored."""
    client = redis.Redis.from_url(store.state_url(2))
    yield client
    client.close()


def budget(state: StateStore, lane: HandLane | None = None, **options: Any) -> SharedRetryBudget:
    """The budget as one process has it."""
    lane = lane or HandLane()
    return SharedRetryBudget("api", **options, state=lambda: state, lane_of=lambda _: lane)


def taken(one: SharedRetryBudget, most: int = 1000) -> int:
    """How many retries it allows in a row."""
    return next((n for n in range(most) if not one.withdraw()), most)


def test_the_allowance_belongs_to_the_fleet(state: StateStore) -> None:
    """Four processes make a thousand first attempts, and together no more retries than one would be allowed."""
    fleet = [budget(state) for _ in range(4)]
    for one in fleet:
        for _ in range(250):
            one.first()
    for _ in range(2):  # the second time each knows of all
        for one in fleet:
            one.turn()
    first_round = sum(taken(one) for one in fleet)
    for one in fleet:
        one.turn()
    for one in fleet:
        one.turn()
    assert 290 <= first_round <= 300
    assert sum(taken(one) for one in fleet) <= 4 + 300 - first_round


def test_a_retry_is_told_soon_and_a_first_attempt_with_the_next_turn(state: StateStore) -> None:
    """The lane is woken for retries alone, and joined once."""
    lane = HandLane()
    one = budget(state, lane)
    one.first()
    one.first()
    assert (lane.participants, lane.woken) == ([one], [])
    assert one.withdraw()
    assert lane.woken == [0.05]


def test_what_is_stored_is_small_and_ends(state: StateStore, client: redis.Redis) -> None:
    """One hash under our prefix, with a time to live; what left the window is removed from it."""
    one = budget(state, window=1.0)
    for _ in range(3):
        one.first()
    one.turn()
    (key,) = client.keys()
    assert key == b"fx:rb:{api}"
    assert 0 < client.pttl(key) <= 2000
    assert sorted(field[:1] for field in client.hkeys(key)) == [b"f", b"p"]
    first = {field for field in client.hkeys(key) if field[:1] == b"f"}

    def moved_on() -> bool:
        one.turn()
        return not first & set(client.hkeys(key))

    wait_until(moved_on, 10, "the first slice leaving the window")


def test_a_process_that_is_gone_gives_its_part_back(state: StateStore) -> None:
    """The floor is divided by the processes heard of within the window."""
    gone, stays = budget(state, ratio=0, floor=10, window=1.0), budget(state, ratio=0, floor=10, window=1.0)
    gone.first()
    stays.first()

    def processes(*turning: SharedRetryBudget) -> int:
        for one in turning:
            one.turn()
        counts = stays._share._fleet
        return counts.processes if counts else 0

    wait_until(lambda: processes(gone, stays) == 2, 10, "both heard")
    wait_until(lambda: processes(stays) == 1, 15, "one forgotten")


def test_a_store_that_is_away_leaves_the_rule_to_each_process() -> None:
    """Nothing is raised at a call; the turn tells the lane."""
    away = StateStore("redis://127.0.0.1:1/0")
    one = budget(away, ratio=1.0, floor=0)
    for _ in range(7):
        one.first()
    with pytest.raises(StoreUnavailable):
        one.turn()
    assert taken(one) == 7


def test_without_a_store_a_process_has_it_for_itself() -> None:
    """No lane is joined."""
    one = SharedRetryBudget("api", ratio=0.5, floor=0, state=lambda: None, lane_of=lambda _: pytest.fail("joined"))
    for _ in range(10):
        one.first()
    assert taken(one) == 5


def test_a_forked_child_begins_anew(state: StateStore, client: redis.Redis) -> None:
    """It sends nothing that its parent counted, and is another process to the fleet."""
    one = budget(state)
    for _ in range(5):
        one.first()
    one.turn()
    one.first()
    child = os.fork()
    if child == 0:
        try:
            one.first()
            one.turn()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    fields = client.hgetall("fx:rb:{api}")
    assert sum(int(count) for field, count in fields.items() if field[:1] == b"f") == 6
    assert len([field for field in fields if field[:1] == b"p"]) == 2
