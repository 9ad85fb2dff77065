"""Where a record stands, and what news does to it (pure).

Notes arrive late, twice, and in any order; the same set of notes must end in the same standing. So no step
asks which note came first, only which is of the current replay, and which failure is the newest by its own time.

    none, RETRYING  --failure of the current replay-->    PENDING, or FAILED when suspect or out of replays
    any but an operator's DISCARDED  --success of the current replay-->   RESOLVED, for good under this number
    DISCARDED, RESOLVED by an operator  --a newer failure-->   as RETRYING: a later failure is never swallowed
    DISCARDED, RESOLVED by an operator  --restored-->    PENDING
    FAILED  --readmitted-->    PENDING, with all its replays before it
    RETRYING  --declared lost-->    PENDING, or FAILED when out of replays

News about an older replay changes no status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from fluxora_tasks.deadletter.envelope import DeadLetter, Kind


class Status(StrEnum):
    """Where a record stands; FAILED is quarantined: poison, or out of replays."""

    PENDING = "PENDING"
    RETRYING = "RETRYING"
    RESOLVED = "RESOLVED"
    FAILED = "FAILED"
    DISCARDED = "DISCARDED"


#: From where an operator may replay, resolve or discard.
OPEN: Final = (Status.PENDING, Status.FAILED)

_PICKLES: Final = ("pickle", "python-serialize")


@dataclass(frozen=True, slots=True)
class Failure:
    """What one failure means for the standing of its record.

    Attributes:
        key: Its place in the order of all failures of the record.
        replay_no: The replay that failed.
        kind: Why.
        is_suspect: It asks for quarantine.
    """

    key: str
    replay_no: int
    kind: Kind
    is_suspect: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """One record's standing.

    Attributes:
        status: As stored.
        replay_no: Number of the newest replay; 0 before the first.
        replays: Replays made; those that could not be published do not count.
        shown_key: Place in order of the newest failure known.
        kind: Kind of that failure.
        confirmed_no: Newest replay that is known to have succeeded.
        decided: The status is an operator's word, which no failure undoes that was known then.
        suspect: A failure of the current replay asks for quarantine.
        conflict: The current replay both failed and succeeded.
        forgiven: Replays that no longer count towards the cap.
    """

    status: Status
    shown_key: str
    kind: Kind
    replay_no: int = 0
    replays: int = 0
    confirmed_no: int | None = None
    decided: bool = False
    suspect: bool = False
    conflict: bool = False
    forgiven: int = 0

    @property
    def may_be_restored(self) -> bool:
        """Whether its end is nobody's but an operator's (of ours, or of the workers that revoked the task)."""
        if self.status is Status.RESOLVED:
            return self.decided and self.confirmed_no != self.replay_no
        return self.status is Status.DISCARDED


def failure_of(letter: DeadLetter, key: str) -> Failure:
    """The facts of a failure that decide."""
    return Failure(key, letter.replay_no, letter.kind, _is_suspect(letter))


def first_failed(failure: Failure, cap: int) -> Standing:
    """The standing of a record whose first failure this is."""
    made = failure.replay_no
    standing = Standing(Status.PENDING, failure.key, failure.kind, made, replays=made, suspect=failure.is_suspect)
    status = _landing(standing, cap)
    return standing if status is standing.status else replace(standing, status=status)


def failed(standing: Standing, failure: Failure, cap: int) -> Standing:
    """The standing after one more failure.

    Args:
        cap: Replays that may fail before the record is quarantined.
    """
    is_newest = failure.key > standing.shown_key
    if failure.replay_no > standing.replay_no:
        standing = _advanced(standing, failure.replay_no)
    if is_newest:
        standing = replace(standing, shown_key=failure.key, kind=failure.kind)
    if failure.replay_no < standing.replay_no:
        return standing
    standing = replace(standing, suspect=standing.suspect or failure.is_suspect)
    if standing.decided and not is_newest:
        return _with_conflict(standing)
    return _settled(replace(standing, decided=False), cap)


def succeeded(standing: Standing, replay_no: int) -> Standing:
    """The standing after a replay (0: a redelivered original) is known to have succeeded."""
    if replay_no > standing.replay_no:
        standing = _advanced(standing, replay_no)
    if standing.confirmed_no is None or replay_no > standing.confirmed_no:
        standing = replace(standing, confirmed_no=replay_no)
    if replay_no < standing.replay_no:
        return standing
    if not (standing.decided and standing.status is Status.DISCARDED):
        standing = replace(standing, status=Status.RESOLVED)
    return _with_conflict(standing)


def claimed(standing: Standing) -> Standing:
    """The standing once a replay is about to be sent; its number is used up, whatever happens."""
    return replace(_advanced(standing, standing.replay_no + 1), status=Status.RETRYING)


def released(standing: Standing, previous: Status) -> Standing:
    """The standing after the current replay could not be published."""
    return replace(standing, status=previous, replays=standing.replays - 1)


def restored(standing: Standing) -> Standing:
    """The standing after an operator took an end back."""
    return replace(standing, status=Status.PENDING, decided=True)


def readmitted(standing: Standing) -> Standing:
    """The standing after an operator took a record out of quarantine; the count of its replays begins anew."""
    return replace(standing, status=Status.PENDING, decided=True, suspect=False, forgiven=standing.replays)


def lost(standing: Standing, cap: int) -> Standing:
    """The standing after an operator declared the current replay lost; its success, should it come, still counts."""
    return replace(standing, status=_waiting(standing, cap), decided=True)


def decided(standing: Standing, status: Status) -> Standing:
    """The standing after an operator's RESOLVED or DISCARDED."""
    return replace(standing, status=status, decided=True)


def _advanced(standing: Standing, replay_no: int) -> Standing:
    """On to another replay, which nothing is known about yet: neither a decision nor a suspicion."""
    made = standing.replays + replay_no - standing.replay_no
    return replace(standing, replay_no=replay_no, replays=made, decided=False, suspect=False, conflict=False)


def _settled(standing: Standing, cap: int) -> Standing:
    """The status that follows from everything known about the current replay."""
    return _with_conflict(replace(standing, status=_landing(standing, cap)))


def _landing(standing: Standing, cap: int) -> Status:
    if standing.confirmed_no == standing.replay_no:
        return Status.RESOLVED
    if standing.kind is Kind.REVOKED:
        return Status.DISCARDED
    return _waiting(standing, cap)


def _waiting(standing: Standing, cap: int) -> Status:
    """How a record waits for an operator: in quarantine or not."""
    is_over = standing.replays - standing.forgiven >= cap
    return Status.FAILED if standing.suspect or is_over else Status.PENDING


def _with_conflict(standing: Standing) -> Standing:
    failed_no = int(standing.shown_key.partition("|")[0])
    return replace(standing, conflict=standing.confirmed_no == standing.replay_no == failed_no)


def _is_suspect(letter: DeadLetter) -> bool:
    if letter.kind is Kind.POISON_SUSPECT:
        return True
    content = letter.payload.content_type or ""
    return letter.kind is Kind.CONTENT_REFUSED and any(name in content for name in _PICKLES)
