"""The way of a delayed message, without a broker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.transport.amqp_delay import LONGEST, LOWEST, Target, is_delay_queue, level_name, way_to

DEMAND = Target("", "demand")


@pytest.mark.parametrize(
    ("seconds", "bits", "exchange"),
    [
        (0.064, "1", "fluxora.delay.64ms"),
        (0.127, "1", "fluxora.delay.64ms"),
        (0.128, "0.1", "fluxora.delay.128ms"),
        (0.2, "1.1", "fluxora.delay.128ms"),
        (1.024, "0.0.0.0.1", "fluxora.delay.1024ms"),
    ],
)
def test_bits_go_from_the_lowest_to_the_highest(seconds: float, bits: str, exchange: str) -> None:
    """The message enters at its highest bit."""
    way = way_to(DEMAND, seconds)

    assert way is not None
    assert (way.exchange, way.routing_key) == (exchange, f"{bits}.{DEMAND.token}")


@pytest.mark.parametrize("seconds", [-1e9, -1, 0, 0.0639])
def test_what_is_due_has_no_way(seconds: float) -> None:
    """Nothing waits for less than the shortest level."""
    assert way_to(DEMAND, seconds) is None


@given(st.floats(min_value=0, max_value=LONGEST / 1000), st.sampled_from([64, 1024]))
def test_the_levels_add_up_to_the_delay(seconds: float, step: int) -> None:
    """Never later than asked for, never earlier by a whole step."""
    way = way_to(DEMAND, seconds, step)

    waited = 0
    if way is not None:
        bits = way.routing_key.split(".")[:-1]
        waited = sum(1 << place for place, bit in enumerate(bits, LOWEST) if bit == "1")
        assert level_name(way.highest) == way.exchange
    assert 0 <= int(seconds * 1000) - waited < step


def test_a_delay_beyond_every_level_takes_them_all() -> None:
    """Eight thousand years end after one."""
    way = way_to(DEMAND, 2.5e11)

    assert way is not None
    assert way.routing_key.count("1.") == way.highest - LOWEST + 1
    assert len(way.routing_key) < 255


def test_targets_have_names_of_their_own() -> None:
    """Exchange and key together make the target; long names are cut to what the broker takes."""
    targets = [DEMAND, Target("demand", ""), Target("a", "b.c"), Target("a.b", "c"), Target("x" * 255, "y" * 255)]

    assert len({target.token for target in targets}) == len(targets)
    assert all(len(target.queue_name) <= 255 for target in targets)
    assert DEMAND.queue_name == "fluxora.delay.to.demand"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fluxora.delay.64ms", True),
        ("fluxora.delay.to.demand", True),
        ("celery_delayed_27", True),
        ("team_celery_delayed_0", True),
        ("fluxora.dead", False),
        ("demand", False),
    ],
)
def test_delay_queues_are_known_by_name(name: str, expected: bool) -> None:
    """Ours and Celery's."""
    assert is_delay_queue(name) is expected
