"""KnownCircuit: a circuit as far as this process knows it, with what it counted and has not reported yet."""

from __future__ import annotations

import itertools
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from fluxora_tasks.breaker.counter import Counter
from fluxora_tasks.breaker.local import LocalCircuit
from fluxora_tasks.breaker.permit import Permit
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, CircuitState, Counts, Override, Report, Snapshot
from fluxora_tasks.breaker.tally import Tally
from fluxora_tasks.breaker.telling import differences, tell
from fluxora_tasks.breaker.view import Source, View, refusing, unsure, view_of, without_store
from fluxora_tasks.breaker.window import exceeded
from fluxora_tasks.events import BreakerPolicyMismatch
from fluxora_tasks.forks import watch_forks

#: Seconds for which this process refuses by its own count, until the store has judged.
_PROVISIONAL: Final = 0.25

#: A probe that takes longer than this many leases is given up.
_LONGEST_PROBE: Final = 10


class KnownCircuit:
    """
    What this process knows; ``view`` is read without a lock and replaced as a whole under one.

    Args:
        name: Of the circuit; may be empty where it is this process's own.
        is_shared: Whether a store decides; else the machine in this process does.
        monotonic: Source of time.
        random: Spreads the cooldowns of the machine in this process.

    Attributes:
        view: What decides now.
        policy: Rules in force here.
        is_used: Whether anybody called between the last two reports.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        is_shared: bool,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.name, self.policy, self.is_shared = name, policy, is_shared
        self.monotonic = monotonic
        self._local = LocalCircuit(name, monotonic, random)
        if is_shared:
            self._local.pin(policy)
        self._begin(View(Source.UNKNOWN if is_shared else Source.LOCAL, Snapshot(name), Tally(0)))
        watch_forks(self)

    def _begin(self, view: View) -> None:
        self.view = view
        self._lock = threading.Lock()
        self._older: deque[Tally] = deque(maxlen=4)
        self._probing: weakref.WeakSet[Permit] = weakref.WeakSet()
        self._timed: set[Permit] = set()
        self._refused = Counter()
        self._leases = itertools.count(1)
        self._failures_before, self._mismatch = 0, ""
        self._given_back = 0
        self._failed_at: float | None = None
        self.is_used = True

    def forked(self) -> None:
        """What is known holds until somebody is asked; what was counted, and who called, stayed behind."""
        view = replace(self.view, tally=Tally(self.view.tally.generation))
        self._begin(unsure(view, Source.UNKNOWN) if self.is_shared else view)

    # ------------------------------------------------------------------------------------- of calls

    def record(self, tally: Tally, counts: Counts, trip_ms: int | None) -> bool:
        """Count what was no plain success; whether the circuit seems to open by that."""
        events: list[Any] = []
        with self._lock:
            tally.add(counts, trip_ms)
            if counts.failures:
                self._failed_at = self.monotonic()
            if self.view.source is Source.LOCAL:
                events = self._fold()
            seems_open = self._refuse_if_exceeded()
        tell(events)
        return seems_open

    def count_refusal(self) -> None:
        """For people."""
        self._refused.add()

    def took_off(self, permit: Permit) -> None:
        """A call is under way whose length, or whose lease, matters."""
        if permit.lease is None:
            self._timed.add(permit)
            return
        with self._lock:
            self._probing.add(permit)

    def landed(self, permit: Permit) -> None:
        """It ended."""
        if permit.lease is None:
            self._timed.discard(permit)
            return
        with self._lock:
            self._probing.discard(permit)

    def ask_here(self, lease: str) -> tuple[Admission, View] | None:
        """Ask the machine in this process; ``None`` where it does not decide."""
        with self._lock:
            if self.view.source is not Source.LOCAL or self._is_fixed():
                return None
            events = self._fold()
            for permit in self._probes(Source.LOCAL):
                self._local.renew(self.policy, permit.lease or "")
            admission = self._local.admit(self.policy, lease)
            events += self._adopt(admission.snapshot, Source.LOCAL, asked_again(admission))
            view = self.view
        tell(events)
        return admission, view

    def settle_here(self, permit: Permit, settle: Callable[[LocalCircuit, BreakerPolicy], Snapshot]) -> None:
        """End a probe that the machine in this process gave."""
        with self._lock:
            snapshot = settle(self._local, self.policy)
            decides = self.view.source is Source.LOCAL and not self._is_fixed()
            events = self._adopt(snapshot, Source.LOCAL) if decides else []
        tell(events)

    # -------------------------------------------------------------------------------- of the store

    def take_reports(self) -> list[tuple[Tally, Report]]:
        """What was counted since the last time; the first may be empty. ``give_back`` undoes it."""
        with self._lock:
            self._count_overdue()
            refused, self._given_back = self._refused.take() + self._given_back, 0
            is_local = self.view.source is Source.LOCAL
            current = self._report(Tally(0) if is_local else self.view.tally, refused)
            late = [self._report(tally) for tally in self._older]
            self.is_used = current[1].counts != Counts() or refused > 0 or bool(self._timed or self._probing)
        return [current, *(pair for pair in late if pair[1].counts != Counts())]

    def give_back(self, reports: list[tuple[Tally, Report]]) -> None:
        """The store did not answer."""
        with self._lock:
            for tally, report in reports:
                tally.add(report.counts, report.trip_ms)
                self._given_back += report.refused

    def confirm(self, report: Report, snapshot: Snapshot) -> None:
        """The store answered a report; it wins over whatever was decided here meanwhile."""
        with self._lock:
            if self.view.source is Source.LOCAL:
                self._local.pin(self.policy)
            elif report.counts != Counts():
                self._local.fold(self.policy, 0, report.counts)
            events = [] if self._was_forgotten(snapshot) else self._adopt(snapshot, Source.SHARED)
        tell(events)

    def hear(self, snapshot: Snapshot) -> None:
        """Somebody published a change; what is older than what is known is no news."""
        events: list[Any] = []
        with self._lock:
            known = self.view
            if known.source is Source.SHARED and snapshot.generation >= known.snapshot.generation:
                events = self._adopt(snapshot, Source.SHARED)
            if snapshot.digest not in ("", self.policy.digest, self._mismatch):
                self._mismatch = snapshot.digest
                events.append(BreakerPolicyMismatch(self.name, self.policy.digest, snapshot.digest))
        tell(events)

    def answered(self, snapshot: Snapshot, ask_again_ms: int | None = None) -> View:
        """The store answered a question about a probe; what is in force by that."""
        with self._lock:
            shared = self.view.source is Source.SHARED and snapshot.generation > 0
            events = self._adopt(snapshot, Source.SHARED, ask_again_ms) if shared else []
            view = self.view
        tell(events)
        return view

    def store_away(self) -> None:
        """Shared state does not answer; a circuit known to be open stays so for its time."""
        view, now = self.view, self.monotonic()
        is_known_open = now < view.refuse_until and not view.is_provisional
        if self.policy.on_store_down == "local" and view.source is Source.SHARED and not is_known_open:
            self.leave_store()

    def leave_store(self) -> None:
        """Go on without shared state, as the policy says."""
        now = self.monotonic()
        with self._lock:
            events = self._left(now) if self.view.source is not Source.LOCAL else []
        tell(events)

    def probes(self) -> list[Permit]:
        """Probes under way whose leases the store is to keep alive."""
        with self._lock:
            return self._probes(Source.SHARED)

    def rest(self) -> bool:
        """Nobody calls: whoever does next asks the store first, unless the circuit has to be kept in mind."""
        with self._lock:
            may = self.view.source is Source.SHARED and self.monotonic() >= self.view.refuse_until
            if may:
                self.view = unsure(self.view, Source.UNKNOWN)
        return may

    # ---------------------------------------------------------------------------------- of people

    def use_policy(self, policy: BreakerPolicy) -> None:
        """Other rules from now on."""
        with self._lock:
            self.policy, view = policy, self.view
            if view.source is Source.SHARED and not view.is_provisional:
                self.view = view_of(view.snapshot, view.source, view.tally, view.at, policy)
            elif view.source is Source.LOCAL:
                self.view = unsure(view, Source.LOCAL)

    def reset_here(self) -> None:
        """Back to CLOSED, where this process decides."""
        with self._lock:
            self.view.tally.take()
            events = self._adopt(self._local.reset(self.policy), Source.LOCAL) if not self.is_shared else []
            self._failures_before, self._failed_at = 0, None
        tell(events)

    @property
    def failure_count(self) -> int:
        """Failures in the window; of an open circuit those that opened it, where this process saw that."""
        view = self.view
        if view.is_open:
            return self._failures_before
        return view.snapshot.counts.failures + view.tally.pending().failures

    @property
    def last_failure_time(self) -> float:
        """When the last failure was reported, in seconds since the epoch; 0: none known. For people."""
        return 0.0 if self._failed_at is None else time.time() - (self.monotonic() - self._failed_at)

    # -------------------------------------------------------------------------- holding the lock

    def _adopt(self, snapshot: Snapshot, source: Source, ask_again_ms: int | None = None) -> list[Any]:
        """Have this view from now on; returns what there is to tell when the lock is released."""
        before = self.view
        tally = before.tally
        from_local = before.source is Source.LOCAL and source is not Source.LOCAL
        if tally.generation != snapshot.generation or from_local:
            tally = Tally(snapshot.generation)
            if before.source is not Source.LOCAL:
                self._older.append(before.tally)
        if source is Source.SHARED and not before.is_open:
            self._failures_before = before.snapshot.counts.failures
        now = self.monotonic()
        if snapshot.last_failure_ms:
            self._failed_at = now - (snapshot.now_ms - snapshot.last_failure_ms) / 1000
        self.view = view_of(snapshot, source, tally, now, self.policy, ask_again_ms)
        return differences(self.name, before, self.view)

    def _fold(self) -> list[Any]:
        """Have the machine in this process judge what was counted."""
        tally = self.view.tally
        if self._is_fixed() or (tally.pending() == Counts() and tally.trip_ms is None):
            return []
        counts, trip = tally.take()
        self._failures_before = self.view.snapshot.counts.failures + counts.failures
        snapshot = self._local.fold(self.policy, tally.generation, counts, trip)
        return self._adopt(snapshot, Source.LOCAL)

    def _is_fixed(self) -> bool:
        """Open or closed without a machine: the store is away, and the policy wants no other judge."""
        return math.inf in (self.view.pass_until, self.view.refuse_until)

    def _refuse_if_exceeded(self) -> bool:
        """Where the counts of this process alone break a rule: refuse at once, the store's verdict is on its way."""
        view = self.view
        judges = view.source is Source.SHARED and view.snapshot.override is Override.NONE
        if not judges or view.is_open or self.policy.min_reporters > 1:
            return False
        total = view.snapshot.counts + view.tally.pending()
        if view.tally.trip_ms is None and not exceeded(self.policy, total, 1):
            return False
        self._failures_before = total.failures
        self.view = refusing(view, self.monotonic() + _PROVISIONAL)
        return True

    def _left(self, now: float) -> list[Any]:
        view = self.view
        if self.policy.on_store_down != "local":
            self.view = without_store(view, now, self.policy)
            return differences(self.name, view, self.view)
        counts, trip = view.tally.take()
        if view.is_open and not view.is_provisional:
            snapshot = self._local.begin(self.policy, max(0.0, view.refuse_until - now))
        else:
            self._local.begin(self.policy, None)
            snapshot = self._local.fold(self.policy, 0, counts, trip)
        return self._adopt(snapshot, Source.LOCAL)

    def _was_forgotten(self, snapshot: Snapshot) -> bool:
        """An open circuit of which the store has lost all trace stays open for its time."""
        view = self.view
        is_new = snapshot.state is CircuitState.CLOSED and not snapshot.reason
        is_known = view.source is Source.SHARED and view.is_open and not view.is_provisional
        return is_new and is_known and self.monotonic() < view.refuse_until

    def _report(self, tally: Tally, refused: int = 0) -> tuple[Tally, Report]:
        counts, trip = tally.take()
        return tally, Report(self.name, self.policy, tally.generation, counts, trip, refused)

    def _probes(self, source: Source) -> list[Permit]:
        earliest = self.monotonic() - _LONGEST_PROBE * self.policy.probe_lease
        leased = (one for one in self._probing if one.view.source is source)
        return [permit for permit in leased if permit.began > earliest]

    def _count_overdue(self) -> None:
        """A call that hangs is slow before it ends; once."""
        longest, now = self.policy.slow_call, self.monotonic()
        if longest is None:
            return
        for permit in list(self._timed):
            if now - permit.began >= longest:
                permit.is_counted = True
                self._timed.discard(permit)
                permit.view.tally.add(Counts(1, 0, 1))


def asked_again(admission: Admission) -> int | None:
    """Store time at which asking again makes sense, of a refused request."""
    return None if admission.granted else admission.ask_again_ms
