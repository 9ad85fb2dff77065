"""Waiting for what became of replays."""

from __future__ import annotations

from datetime import datetime

from fluxora_tasks.interfaces.cli.waiting import Waiting, outcomes
from tests.unit.interfaces.cli.fakes import FIRST, NOON, SECOND, FakeDeadLetters, letter


class HeldClock:
    """A clock that only its own pauses move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


def test_every_outcome_comes_once() -> None:
    """A resolved and a failed replay are both outcomes, and nothing is awaited after the last."""
    operations = FakeDeadLetters(letter(id=FIRST, status="RETRYING"), letter(id=SECOND, status="RETRYING"))
    operations.after_replay = {FIRST: "RESOLVED", SECOND: "FAILED"}
    clock = HeldClock()
    seen = [one for one in outcomes(operations, [FIRST, SECOND], Waiting(5, clock, clock.pause)) if one]
    assert {one.id: one.status for one in seen} == {FIRST: "RESOLVED", SECOND: "FAILED"}
    assert clock.seconds == 0


def test_waiting_ends_when_time_is_up() -> None:
    """A replay that is still running has no outcome, and the wait is no longer than asked for."""
    operations = FakeDeadLetters(letter(id=FIRST, status="RETRYING"))
    clock = HeldClock()
    assert [one for one in outcomes(operations, [FIRST], Waiting(1.5, clock, clock.pause)) if one] == []
    assert clock.seconds == 1.5


def test_no_wait_is_one_look() -> None:
    """Zero seconds ask once."""
    operations = FakeDeadLetters(letter(id=FIRST, status="RESOLVED"))
    clock = HeldClock()
    seen = list(outcomes(operations, [FIRST], Waiting(0, clock, clock.pause)))
    assert [one.id for one in seen if one] == [FIRST]
