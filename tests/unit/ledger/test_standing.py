"""The table of statuses, and that no order of news changes where it ends."""

from __future__ import annotations

from itertools import permutations

import pytest

from fluxora_tasks.deadletter.envelope import Kind, Payload
from fluxora_tasks.ledger.rows import entry_of
from fluxora_tasks.ledger.standing import (
    Failure,
    Standing,
    Status,
    claimed,
    decided,
    failed,
    failure_of,
    first_failed,
    lost,
    readmitted,
    released,
    restored,
    succeeded,
)
from tests.letters import letter

CAP = 3


def failure(replay_no: int = 0, at: int = 0, kind: Kind = Kind.EXCEPTION, suspect: bool = False) -> Failure:
    """A failure whose place in order follows its replay and time."""
    return Failure(f"{replay_no:010d}|{at:03d}|f", replay_no, kind, suspect)


def pending() -> Standing:
    """A record after its first failure."""
    return first_failed(failure(), CAP)


def retrying() -> Standing:
    """A record whose first replay is on its way."""
    return claimed(pending())


@pytest.mark.parametrize(
    ("kind", "suspect", "status"),
    [
        (Kind.EXCEPTION, False, Status.PENDING),
        (Kind.POISON_SUSPECT, True, Status.FAILED),  # quarantined at once
        (Kind.REVOKED, False, Status.DISCARDED),  # somebody meant it
    ],
)
def test_the_first_failure_lands(kind: Kind, suspect: bool, status: Status) -> None:
    """A first failure is pending unless its kind says otherwise."""
    assert first_failed(failure(kind=kind, suspect=suspect), CAP).status is status


def test_a_claim_uses_up_a_number() -> None:
    """Each claim has a number of its own, also after one that could not be published."""
    aborted = released(retrying(), Status.PENDING)

    assert (aborted.status, aborted.replay_no, aborted.replays) == (Status.PENDING, 1, 0)
    assert (claimed(aborted).replay_no, claimed(aborted).replays) == (2, 1)


def test_a_failed_replay_is_pending_again() -> None:
    """A failure of the current replay ends it."""
    after = failed(retrying(), failure(1, 5), CAP)

    assert (after.status, after.replays) == (Status.PENDING, 1)


def test_the_last_allowed_replay_quarantines() -> None:
    """A record is FAILED once as many replays failed as the cap allows."""
    standing = pending()
    for number in range(1, CAP + 1):
        standing = failed(claimed(standing), failure(number, number), CAP)

    assert standing.status is Status.FAILED


def test_old_news_change_no_status() -> None:
    """A failure or success of an older replay leaves the current one alone."""
    assert failed(retrying(), failure(0, 9), CAP).status is Status.RETRYING
    assert succeeded(retrying(), 0).status is Status.RETRYING


@pytest.mark.parametrize("before", [retrying(), failed(retrying(), failure(1, 5), CAP)])
def test_a_success_resolves(before: Standing) -> None:
    """The current replay's success resolves, also after a copy of it had failed."""
    after = succeeded(before, 1)

    assert after.status is Status.RESOLVED
    assert after.conflict is (before.status is Status.PENDING)


def test_success_is_final_for_its_number() -> None:
    """A failure after a success of the same replay stays resolved, and shows as a conflict."""
    after = failed(succeeded(retrying(), 1), failure(1, 9), CAP)

    assert (after.status, after.conflict) == (Status.RESOLVED, True)


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.DISCARDED])
def test_a_later_failure_is_never_swallowed(status: Status) -> None:
    """An operator's decision stands against old news and ends with a newer failure."""
    standing = decided(first_failed(failure(at=5), CAP), status)

    assert failed(standing, failure(at=4), CAP).status is status
    assert failed(standing, failure(at=6), CAP).status is Status.PENDING


def test_an_operators_decision_stands_against_a_success() -> None:
    """A late success does not turn DISCARDED into RESOLVED."""
    assert succeeded(decided(failed(retrying(), failure(1, 5), CAP), Status.DISCARDED), 1).status is Status.DISCARDED


def test_a_refused_pickle_is_suspect() -> None:
    """A pickle that was refused is quarantined; other refused types are not."""
    pickled = letter(kind=Kind.CONTENT_REFUSED, payload=Payload(b"x", "application/x-python-serialize"))
    yaml = letter(kind=Kind.CONTENT_REFUSED, payload=Payload(b"x", "application/x-yaml"))

    assert failure_of(pickled, entry_of(pickled).key).is_suspect
    assert not failure_of(yaml, entry_of(yaml).key).is_suspect


BASES = {
    "pending": pending(),
    "retrying": retrying(),
    "aborted": released(retrying(), Status.PENDING),
    "discarded": decided(pending(), Status.DISCARDED),
    "resolved by hand": decided(failed(retrying(), failure(1, 5), CAP), Status.RESOLVED),
    "quarantined": failed(retrying(), failure(1, 5, Kind.POISON_SUSPECT, suspect=True), CAP),
}

NEWS: list[Failure | int] = [
    failure(0, 2),
    failure(1, 3),
    failure(1, 7),
    failure(1, 6, Kind.REVOKED),
    failure(1, 8, Kind.POISON_SUSPECT, suspect=True),
    failure(2, 9),
    0,  # successes, by number
    1,
    2,
]


@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
def test_no_order_of_news_matters(base: Standing) -> None:
    """Any three pieces of news end in the same standing, whichever comes first."""
    for picked in _triples(NEWS):
        ends = {_after(base, order) for order in permutations(picked)}
        assert len(ends) == 1, picked


def _triples(news: list[Failure | int]) -> list[tuple[Failure | int, ...]]:
    places = range(len(news))
    return [(news[a], news[b], news[c]) for a in places for b in places if a < b for c in places if b < c]


def _after(standing: Standing, news: tuple[Failure | int, ...]) -> Standing:
    for item in news:
        standing = succeeded(standing, item) if isinstance(item, int) else failed(standing, item, CAP)
    return standing


def test_what_an_operator_restored_waits_until_a_newer_failure() -> None:
    """A note of a failure that was known of anyway does not end it again; a newer one is judged as ever."""
    revoked = first_failed(failure(at=5, kind=Kind.REVOKED), CAP)
    again = restored(revoked)

    assert (revoked.status, again.status) == (Status.DISCARDED, Status.PENDING)
    assert failed(again, failure(at=1, kind=Kind.REVOKED), CAP).status is Status.PENDING
    assert failed(again, failure(at=9, kind=Kind.REVOKED), CAP).status is Status.DISCARDED
    assert succeeded(again, 0).status is Status.RESOLVED


@pytest.mark.parametrize(
    ("standing", "may"),
    [
        (decided(pending(), Status.DISCARDED), True),
        (decided(pending(), Status.RESOLVED), True),
        (first_failed(failure(kind=Kind.REVOKED), CAP), True),
        (succeeded(retrying(), 1), False),  # a success is final
        (succeeded(decided(pending(), Status.RESOLVED), 0), False),  # also where an operator had spoken before
        (pending(), False),
    ],
)
def test_which_ends_may_be_taken_back(standing: Standing, may: bool) -> None:
    """Those that are nobody's but a person's."""
    assert standing.may_be_restored is may


def test_a_release_gives_all_replays_anew() -> None:
    """The cap counts from the release on, and poison is forgiven."""
    standing = readmitted(first_failed(failure(kind=Kind.POISON_SUSPECT, suspect=True), CAP))
    ends = []
    for number in range(1, CAP + 1):
        standing = failed(claimed(standing), failure(replay_no=number, at=number), CAP)
        ends.append(standing.status)

    assert ends == [Status.PENDING, Status.PENDING, Status.FAILED]


def test_a_lost_replay_counts_towards_the_cap() -> None:
    """Lost replays are replays that failed; a success of the last one still ends the story."""
    standing = pending()
    for _ in range(CAP):
        standing = lost(claimed(standing), CAP)

    assert standing.status is Status.FAILED
    assert succeeded(standing, CAP).status is Status.RESOLVED
