"""The accounting finds what it is there to find."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tests.chaos.accounting import Account, account, unexpected
from tests.chaos.plan import Fault, Job, blows, jobs
from tests.chaos.system import Line, Row

CHILD, KILLED = 10, 20


def began(number: int, pid: int = CHILD, retries: int = 0) -> Line:
    return Line("began", number, f"m{number}", retries, pid)


def ended(number: int, pid: int = CHILD) -> Line:
    return Line("ended", number, f"m{number}", 0, pid)


def row(number: int, status: str = "PENDING", kind: str = "non_retryable", *, conflict: bool = False) -> Row:
    return Row(f"m{number}", f"job-{number}", status, kind, conflict, 1, "")


RAN = [began(1), ended(1), began(1000)]

CASES = {
    "a success": ([*RAN], [], {"succeeded": {1}}),
    "a success that a record knows of": ([*RAN], [row(1, "RESOLVED")], {"succeeded": {1}}),
    "a success with a conflict": ([*RAN], [row(1, conflict=True)], {"succeeded": {1}}),
    "a failure": ([began(1)], [row(1)], {"dead": {1}}),
    "neither": ([began(1)], [], {"missing": {1}}),
    "never begun": ([], [], {"missing": {1}}),
    "both": ([*RAN], [row(1)], {"both": {1}}),
    "both, its process killed later": (
        [began(1, KILLED), ended(1, KILLED), began(2, KILLED)],
        [row(1)],
        {"both": {1}},
    ),
    "killed before it could say so": ([began(1, KILLED), ended(1, KILLED)], [row(1)], {"ended_unheard": {1}}),
    "two records": ([began(1)], [row(1), row(1, kind="worker_lost")], {"dead": {1}, "recorded_twice": {1}}),
    "the same attempt twice": ([began(1), *RAN], [], {"succeeded": {1}, "ran_again": {1}}),
    "two attempts": ([began(1), began(1, retries=1), ended(1)], [], {"succeeded": {1}}),
    "a record of nobody's": ([*RAN], [row(7)], {"succeeded": {1}, "strayed": ["m7"]}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fate_is_told_apart(case: str) -> None:
    """Of one message that was sent."""
    lines, rows, expected = CASES[case]
    found = account({1}, set(), lines, rows, {KILLED})
    assert _named(found) == expected


def test_a_send_that_raised_may_have_sent() -> None:
    """Such a message is missed by nobody, and counted where it ran."""
    found = account(set(), {1, 2}, RAN, [], set())
    assert _named(found) == {"succeeded": {1}, "appeared": {1}}


def test_kinds_follow_from_the_plan_or_from_violence() -> None:
    """A job that should have succeeded is not expected to fail by itself."""
    plan = [Job(1, 0.0, doomed=True), Job(2, 0.0)]
    fine = [row(1), row(2, kind="worker_lost"), row(1, kind="poison_suspect")]
    assert unexpected(plan, [*fine, row(2), row(2, kind="exception")]) == [row(2), row(2, kind="exception")]


def test_a_seed_says_everything() -> None:
    """The same seed gives the same jobs and faults, another one others."""
    faults = list(Fault)
    assert (jobs(1, 50), blows(1, 50, faults)) == (jobs(1, 50), blows(1, 50, faults))
    assert jobs(1, 50) != jobs(2, 50)
    assert blows(1, 50, faults) != blows(2, 50, faults)
    assert sorted(blow.fault for blow in blows(1, 50, faults)) == sorted(faults)


def _named(found: Account) -> dict[str, object]:
    """The fields of sets and lists that are not empty."""
    values = {item.name: getattr(found, item.name) for item in fields(found)}
    return {name: value for name, value in values.items() if isinstance(value, (set, list)) and value}
