"""FleetShare: one process's part of an allowance that belongs to the fleet."""

from __future__ import annotations

from random import Random

import pytest

from fluxora_tasks.retry.share import FleetCounts, FleetShare


class Middle(Random):
    """Draws one half, always."""

    def random(self) -> float:
        return 0.5


def share(ratio: float = 0.2, floor: float = 10.0, alone: bool = False) -> FleetShare:
    return FleetShare(ratio, floor, window=10.0, alone=alone, random=Middle())


def taken(one: FleetShare, now: float, most: int = 1000) -> int:
    """How many retries it allows in a row."""
    return next((n for n in range(most) if not one.take(now)), most)


def test_alone_it_has_the_whole_allowance() -> None:
    """A fifth of the first attempts of ten seconds, and ten a second beside that."""
    one = share(alone=True)
    for _ in range(50):
        one.first(100.0)
    assert taken(one, 100.0) == 10 + 100


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """Retries and first attempts alike."""
    one = share(alone=True)
    for _ in range(500):
        one.first(100.0)
    assert taken(one, 100.0) == 200
    assert taken(one, 105.0) == 0
    assert taken(one, 111.0) == 100


def test_before_the_fleet_is_heard_a_slice_of_the_floor_is_allowed() -> None:
    """Forty processes that begin at once cannot spend forty floors."""
    assert taken(share(), 5.0) == 10


@pytest.mark.parametrize(
    ("counts", "allowed"),
    [
        (FleetCounts(0, 0, 1), 100),
        (FleetCounts(1000, 0, 1), 300),
        (FleetCounts(1000, 0, 10), 30),  # a tenth of it
        (FleetCounts(1000, 290, 10), 1),
        (FleetCounts(1000, 300, 10), 0),  # others spent it
        (FleetCounts(1000, 900, 10), 0),  # far too much was spent
        (FleetCounts(0, 0, 200), 1),  # half a retry each: chance rounds it
        (FleetCounts(0, 0, 300), 0),
    ],
)
def test_the_rest_is_divided(counts: FleetCounts, allowed: int) -> None:
    """By the number of processes, rounded by chance."""
    one = share()
    one.heard(counts, (0, 0), 50.0)
    assert taken(one, 50.1) == allowed


def test_parts_below_one_add_up() -> None:
    """Three hundred processes share a hundred retries: about a third of them may make one."""
    random, total = Random(7), 0
    for _ in range(300):
        one = FleetShare(0.2, 10.0, 10.0, alone=False, random=random)
        one.heard(FleetCounts(0, 0, 300), (0, 0), 50.0)
        total += one.take(50.1)
    assert 70 <= total <= 130


@pytest.mark.parametrize("seed", range(10))
def test_what_rounding_spent_too_much_is_made_up_for(seed: int) -> None:
    """Ten processes, each of which asks the store every twenty calls: however often they round, the rule holds."""
    random, firsts, retries = Random(seed), 0, 0
    fleet = [FleetShare(0.2, 0.0, 10.0, alone=False, random=random) for _ in range(10)]
    for _ in range(10_000):
        one = random.choice(fleet)
        if random.random() < 1 / 20:
            sent = one.unsent(50.0)
            firsts, retries = firsts + sent[0], retries + sent[1]
            one.heard(FleetCounts(firsts, retries, len(fleet)), sent, 50.0)
        one.first(50.0)
        one.take(50.0)
    spent = retries + sum(one.unsent(50.0)[1] for one in fleet)
    assert 2000 - 2 * len(fleet) <= spent <= 2000 + len(fleet)


def test_own_first_attempts_count_before_the_store_knows_of_them() -> None:
    """Five of them allow one retry more."""
    one = share(floor=0.0)
    one.heard(FleetCounts(0, 0, 1), (0, 0), 50.0)
    assert taken(one, 50.0) == 0
    for _ in range(5):
        one.first(50.1)
    assert taken(one, 50.2) == 1


def test_what_was_sent_is_not_counted_twice() -> None:
    """The store's counts hold it; what happened during the exchange is still unsent."""
    one = share()
    one.first(50.0)
    sent = one.unsent(50.0)
    one.first(50.1)
    assert one.take(50.1)
    one.heard(FleetCounts(1, 0, 1), sent, 50.2)
    assert one.unsent(50.2) == (1, 1)


def test_a_fleet_that_fell_silent_is_not_believed() -> None:
    """After five seconds the process keeps the rule for itself, with its part of the floor."""
    one = share()
    one.heard(FleetCounts(0, 0, 20), (0, 0), 50.0)
    assert taken(one, 55.1) == 5


def test_what_left_the_window_is_not_sent_any_more() -> None:
    """A store that comes back after a minute hears of the last ten seconds."""
    one = share()
    one.heard(FleetCounts(0, 0, 1), (0, 0), 50.0)
    for now in (51.0, 100.0, 109.0):
        one.first(now)
    assert one.unsent(110.0) == (1, 0)
