"""The ids: stable, distinct."""

from __future__ import annotations

from fluxora_tasks.deadletter.identity import dead_id_for, failure_id_for, new_id


def test_the_same_message_has_the_same_record() -> None:
    """Derived ids are part of the stored data: these values must never change."""
    assert dead_id_for("m", "t", "q") == "1735dd5c-691d-520e-8f41-966c21f0afcf"
    assert failure_id_for("d", "r") == "60725aa5-ab55-5198-a5a0-3ed6931c16a0"
    assert len({dead_id_for("m", "t", "q"), dead_id_for("mt", "", "q"), dead_id_for("m", "tq", "")}) == 3


def test_two_deliveries_are_two_failures() -> None:
    """One run signalled twice is one failure."""
    assert failure_id_for("d", "r1") != failure_id_for("d", "r2")
    assert new_id() != new_id()
