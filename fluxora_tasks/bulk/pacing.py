"""How fast a bulk replay goes on, and when it holds or stops (pure).

The canary goes first: its outcomes are awaited before more is sent. Then messages go out as tokens of a bucket allow,
which fills at the rate and holds one second of it; the rate doubles after each step that went well. After a hold that
says so the canary comes again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fluxora_tasks.bulk.operation import Pace, Progress

#: Fewest outcomes that the share of failures is taken of.
FEWEST: Final = 20

#: Messages of a canary that may not fail as before, so many of one group.
SAME_CAUSE: Final = 5

#: Share of successes from which a step went well; seconds a step lasts at its rate.
_WELL: Final = 0.95
_STEP: Final = 5.0

#: Seconds between two looks at outcomes, and at what it is held for.
LOOK: Final = 0.25
_HELD: Final = 2.0

#: Shortest wait for the next token, in seconds.
_SHORTEST: Final = 0.005


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides about the next step of a replay.

    Attributes:
        now: Seconds since 1970.
        records: What the plan counted.
        pending: Items to be sent; ``in_flight``: those sent without an outcome.
        unconfirmed: Those sent that nobody has heard of for so long that they are not awaited any more.
        listed_all: There will be no more items.
        breaker: What is said of the circuit of the next messages' task, where it lets none pass.
        away: What else is in the way of the next messages: the broker, or a queue without a consumer.
        lag: Seconds the ledger lags behind; ``None``: not known.
    """

    now: float
    pace: Pace
    progress: Progress
    records: int
    pending: int
    in_flight: int
    listed_all: bool = True
    breaker: str | None = None
    away: str | None = None
    lag: float | None = None
    unconfirmed: int = 0


@dataclass(frozen=True, slots=True)
class Issue:
    """Send so many, then look again after ``wait`` seconds. ``progress``: before they are counted."""

    count: int
    wait: float
    progress: Progress


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after so many seconds."""

    seconds: float
    progress: Progress


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing for a reason that may pass; look again after ``wait`` seconds."""

    reason: str
    progress: Progress
    wait: float = _HELD


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Every outcome is known."""


Decision: TypeAlias = Issue | Wait | Hold | Abort | Complete


@dataclass(frozen=True, slots=True)
class Ended:
    """One outcome, as it counts.

    Attributes:
        is_success: Else it failed again, or could not be published.
        is_known: Else nobody has heard of it, and it is not awaited any more.
        same_group: The group it failed in again, where that is the one of before.
        label: That group for people.
    """

    is_success: bool
    is_known: bool = True
    same_group: str = ""
    label: str = ""


def decide(facts: Facts) -> Decision:
    """What to do next."""
    if facts.listed_all and not facts.pending and not facts.in_flight:
        return Complete()
    if facts.pending or not facts.listed_all:
        cause = _cause_to_stop(facts)
        if cause:
            return Abort(cause)
    held = _hold(facts)
    if held is not None:
        return held
    return _issue(replace(facts, progress=_filled(facts)))


def spent(progress: Progress, count: int, in_flight: int, now: float) -> Progress:
    """After so many messages were sent; ``in_flight``: those that were under way before."""
    if not count:
        return progress
    since = progress.heard_at if in_flight else now
    return replace(progress, tokens=progress.tokens - count, sent=progress.sent + count, heard_at=since)


def heard(progress: Progress, outcomes: Sequence[Ended], pace: Pace, now: float) -> Progress:
    """After these outcomes, oldest first; a step that they end has its consequence for the rate."""
    known = [outcome for outcome in outcomes if outcome.is_known]
    failures = [outcome for outcome in known if not outcome.is_success]
    recent = progress.recent + "".join(map(_letter, outcomes))
    again, labels = dict(progress.again), dict(progress.labels)
    if progress.is_canary:
        for failure in failures:
            if failure.same_group:
                again[failure.same_group] = again.get(failure.same_group, 0) + 1
                labels.setdefault(failure.same_group, failure.label)
    counted = replace(
        progress,
        recent=recent[-_step(progress, pace) :],
        succeeded=progress.succeeded + len(known) - len(failures),
        failed=progress.failed + len(failures),
        again=again,
        labels=labels,
        heard_at=now,
    )
    return counted if progress.is_canary else _stepped(counted, pace)


def _letter(outcome: Ended) -> str:
    if not outcome.is_known:
        return "u"
    return "s" if outcome.is_success else "f"


def slowed(progress: Progress) -> Progress:
    """From the start: the canary again, at the first rate. What failed lately is still known."""
    return Progress(tokens=min(progress.tokens, 0.0), filled_at=progress.filled_at, recent=progress.recent)


def _cause_to_stop(facts: Facts) -> str:
    progress, pace = facts.progress, facts.pace
    for group, count in progress.again.items():
        if count >= SAME_CAUSE:
            label = progress.labels.get(group, "")
            known = progress.succeeded + progress.failed
            return (
                f"cause not fixed: {count} of the first {known} outcomes failed again as before "
                f"(group {group}{': ' if label else ''}{label})"
            )
    failures, known = progress.recent.count("f"), len(progress.recent) - progress.recent.count("u")
    if failures > pace.stop_ratio * max(FEWEST, known):
        return f"{failures} of the last {known} outcomes failed; {pace.stop_ratio:.0%} are allowed"
    return ""


def _hold(facts: Facts) -> Hold | None:
    progress, pace = facts.progress, facts.pace
    if facts.pending and facts.breaker:
        return Hold(facts.breaker, slowed(progress))
    if facts.pending and facts.away:
        return Hold(facts.away, progress)
    if facts.pending and facts.lag is not None and facts.lag > pace.max_lag:
        return Hold(f"the ledger lags {facts.lag:.0f} s behind; {pace.max_lag:.0f} s are allowed", progress)
    silence = facts.now - progress.heard_at if progress.heard_at else 0.0
    if facts.in_flight and silence > pace.patience:
        return Hold(
            f"no outcome for {silence / 60:.0f} min of {facts.in_flight} messages; is a worker running?", progress
        )
    if facts.pending and _is_unheard(facts):
        return Hold(f"nobody has heard of the canary's {progress.sent} messages; is a worker running?", progress)
    return None


def _is_unheard(facts: Facts) -> bool:
    """Whether the canary has told nothing: none of its messages is awaited any more, and none had an outcome."""
    progress = facts.progress
    is_out = progress.is_canary and 0 < facts.pace.canary_of(facts.records) <= progress.sent
    return is_out and not (progress.succeeded + progress.failed + facts.in_flight) and facts.unconfirmed > 0


def _issue(facts: Facts) -> Issue | Wait:
    progress = facts.progress
    if not facts.pending:
        return Wait(LOOK if facts.in_flight else 0.0, progress)
    # where the latest news is that there is none, one message at a time asks whether a worker is back
    most = 1 if progress.recent.endswith("u") else facts.pace.max_in_flight
    room = min(facts.pending, most - facts.in_flight)
    if progress.is_canary:
        canary = facts.pace.canary_of(facts.records)
        if progress.sent >= canary:
            if facts.in_flight:
                return Wait(LOOK, progress)
            return _issue(replace(facts, progress=_begun(progress)))
        room = min(room, canary - progress.sent)
    if room <= 0:
        return Wait(LOOK, progress)
    count = min(room, math.floor(progress.tokens))
    if count < 1:
        # never so short that the clock would not move
        return Wait(max((1 - progress.tokens) / progress.rate, _SHORTEST), progress)
    # a quarter of a second at a time: few transactions, and no bursts to speak of
    return Issue(count, min(max(1 / progress.rate, LOOK), 1.0), progress)


def _filled(facts: Facts) -> Progress:
    """With the tokens of the time that has passed; a clock that went back gives one, by which its time is taken on."""
    progress = facts.progress
    rate = progress.rate or min(facts.pace.rate, facts.pace.ceiling)
    burst = max(1.0, rate)
    if not progress.filled_at:
        return replace(progress, rate=rate, tokens=min(1.0, burst), filled_at=facts.now)
    passed = facts.now - progress.filled_at
    tokens = progress.tokens + passed * rate if passed >= 0 else max(1.0, progress.tokens)
    return replace(progress, rate=rate, tokens=min(burst, tokens), filled_at=facts.now)


def _begun(progress: Progress) -> Progress:
    """Past the canary."""
    return replace(progress, is_canary=False, sent=0, succeeded=0, failed=0, again={}, labels={})


def _stepped(progress: Progress, pace: Pace) -> Progress:
    """The next step, where this one is over."""
    known = progress.succeeded + progress.failed
    if known < _step(progress, pace):
        return progress
    went_well = progress.succeeded >= _WELL * known
    rate = min(progress.rate * 2, pace.ceiling) if went_well else progress.rate
    return replace(progress, rate=rate, sent=0, succeeded=0, failed=0)


def _step(progress: Progress, pace: Pace) -> int:
    """Outcomes of a step, which are also those that the share of failures is taken of."""
    return max(FEWEST, math.ceil(_STEP * (progress.rate or pace.rate)))
