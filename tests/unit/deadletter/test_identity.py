"""The ids: stable, distinct."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from fluxora_tasks.deadletter.identity import (
    claimed_dead_id,
    claimed_replay_no,
    dead_id_for,
    failure_id_for,
    new_id,
    timed_id,
)


def test_the_same_message_has_the_same_record() -> None:
    """Derived ids are part of the stored data: these values must never change."""
    assert dead_id_for("m", "t", "q") == "1735dd5c-691d-520e-8f41-966c21f0afcf"
    assert failure_id_for("d", "r") == "60725aa5-ab55-5198-a5a0-3ed6931c16a0"
    assert len({dead_id_for("m", "t", "q"), dead_id_for("mt", "", "q"), dead_id_for("m", "tq", "")}) == 3


def test_two_deliveries_are_two_failures() -> None:
    """One run signalled twice is one failure."""
    assert failure_id_for("d", "r1") != failure_id_for("d", "r2")
    assert new_id() != new_id()


def test_ids_of_one_time_stand_together() -> None:
    """Of a hundred written at once, an index gets one place dirty and not a hundred."""
    before = time.time_ns() // 1_000_000
    found = [uuid.UUID(timed_id()) for _ in range(100)]
    after = time.time_ns() // 1_000_000
    assert {(one.version, one.variant) for one in found} == {(7, uuid.RFC_4122)}
    assert all(before <= one.int >> 80 <= after for one in found)
    assert len(set(found)) == 100


def test_a_failure_begins_with_the_time_of_its_run() -> None:
    """These, too, are part of the stored data."""
    run = "01a21d89-2b9b-73ae-be2d-e7e7c219d724"
    assert failure_id_for("d", run) == "01a21d89-2b9b-8041-b58a-5a17ecb04bb3"
    assert uuid.UUID(failure_id_for("d", run)).version == 8
    assert failure_id_for("d", run) != failure_id_for("e", run)


def test_a_foreign_id_of_any_text_has_a_record() -> None:
    """A lone surrogate is text to Python and JSON, and nothing to UTF-8."""
    assert dead_id_for("\ud800", "t", "q") != dead_id_for("\ud801", "t", "q")


@pytest.mark.parametrize("claimed", [None, "", 7, "x" * 65, "a\x00", "\ud800", "a b", [], {}, True])
def test_a_forged_record_is_not_believed(claimed: Any) -> None:
    """Nor is the number of a replay that belongs to none."""
    headers = {"fx_dead_id": claimed, "fx_replay_no": 1}
    assert (claimed_dead_id(headers), claimed_replay_no(headers)) == ("", 0)


@pytest.mark.parametrize("claimed", [None, "1", 0, -1, 2**31, 1.0, True, [], {}])
def test_a_forged_number_of_a_replay_is_not_believed(claimed: Any) -> None:
    """The record is, so the failure is filed under its original message."""
    headers = {"fx_dead_id": dead_id_for("m", "t", "q"), "fx_replay_no": claimed}
    assert claimed_dead_id(headers)
    assert claimed_replay_no(headers) == 0
    assert claimed_replay_no({**headers, "fx_replay_no": 2}) == 2
