"""Sharing: the circuits of this process and their store, kept up by the process's lane."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.permit import Permit
from fluxora_tasks.breaker.record import Report, Result
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.breaker.stores.answers import snapshot_of_push
from fluxora_tasks.breaker.stores.redis import EVENT_CHANNEL
from fluxora_tasks.breaker.tally import Tally
from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.events import BreakerStoreAway, BreakerStoreBack, emit
from fluxora_tasks.forks import watch_forks
from fluxora_tasks.lane import Lane

#: Seconds between two reports of a circuit that only sees successes; also how often an idle one is looked at.
INTERVAL: Final = 1.0

#: Seconds without a call after which a circuit is not looked at any more.
IDLE: Final = 60.0


@dataclass(slots=True)
class _Place:
    """A circuit in use, and when it was last used."""

    circuit: LiveBreaker
    used_at: float


@dataclass(frozen=True, slots=True)
class _Settlement:
    """The end of a probe that the store has to hear of, for as long as it knows the lease."""

    circuit: LiveBreaker
    permit: Permit
    result: Result
    slow: bool


class Sharing:
    """
    Reports of all circuits in one round trip; questions and ends of probes in the order in which they came.

    Args:
        store: Keeps the circuits.
        lane: The process's thread; this is one of its participants.
        each_turn: Called in each turn, for what else has to be looked at now and then.
    """

    channels: Sequence[str] = (EVENT_CHANNEL,)
    interval = INTERVAL

    def __init__(
        self,
        store: BreakerStore,
        lane: Lane,
        each_turn: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self._lane, self._each_turn = store, lane, each_turn
        self._monotonic = monotonic
        self._places: dict[str, _Place] = {}
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        """Another process reports under another name; whoever called stayed behind."""
        self.reporter = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._lock = threading.Lock()
        self._settlements: deque[_Settlement] = deque()
        self._away_since: float | None = None
        self._joined = False

    # ------------------------------------------------------------------------------ any thread

    def refresh(self, circuit: LiveBreaker) -> Future[Permit | None]:
        """Hear from the store now, and look at it regularly from now on."""
        with self._lock:
            self._places.setdefault(circuit.name, _Place(circuit, self._monotonic()))
            joined, self._joined = self._joined, True
        if not joined:
            self._lane.add(self)
        return self._lane.submit(lambda: self._refresh(circuit))

    def ask(self, circuit: LiveBreaker, is_patient: bool) -> Future[Permit | None]:
        """A permit."""
        return self._lane.submit(lambda: self._ask(circuit, is_patient))

    def settle(self, permit: Permit, circuit: LiveBreaker, result: Result, slow: bool) -> Future[None]:
        """Give a probe's lease back; again with the next turns if the store is away."""
        self._settlements.append(_Settlement(circuit, permit, result, slow))
        return self._lane.submit(self._send_settlements)

    def wake(self, within: float) -> None:
        """Report within so many seconds."""
        self._lane.wake(within, self)

    # ------------------------------------------------------------------------------ the lane's

    def turn(self) -> None:
        """One round trip for all reports."""
        self._each_turn()
        self._send_settlements()
        now = self._monotonic()
        circuits = [place.circuit for place in list(self._places.values())]
        self._report(circuits)
        for place in list(self._places.values()):
            self._rest_if_idle(place, now)
        self._renew(now)

    def on_message(self, channel: str, payload: bytes) -> None:
        """A circuit changed."""
        snapshot = snapshot_of_push(payload)
        place = self._places.get(snapshot.name) if snapshot is not None else None
        if snapshot is not None and place is not None:
            place.circuit.hear(snapshot)

    def on_store(self, there: bool) -> None:
        """Shared state went away, or is back."""
        if there:
            away_for = self._monotonic() - (self._away_since or self._monotonic())
            self._away_since = None
            emit(BreakerStoreBack(away_for))
            return
        self._away_since = self._monotonic()
        emit(BreakerStoreAway("shared state does not answer"))
        for place in list(self._places.values()):
            place.circuit.store_away()

    def _refresh(self, circuit: LiveBreaker) -> None:
        self._report([circuit])

    def _ask(self, circuit: LiveBreaker, is_patient: bool) -> Permit | None:
        self._send_settlements()
        permit = circuit.ask_store(
            lambda lease: self.store.admit(circuit.name, lease, circuit.policy, self.reporter), is_patient
        )
        if permit is not None:
            self.wake(circuit.policy.probe_lease / 3)
        return permit

    def _report(self, circuits: list[LiveBreaker]) -> None:
        taken = [(circuit, circuit.take_reports()) for circuit in circuits]
        if not taken:
            return
        flat = [(circuit, report) for circuit, reports in taken for _, report in reports]
        try:
            snapshots = self.store.flush([report for _, report in flat], self.reporter)
        except Exception:
            self._give_back(taken)
            raise
        for (circuit, report), snapshot in zip(flat, snapshots, strict=True):
            if snapshot is None:
                circuit.store_away()
            else:
                circuit.confirm(report, snapshot)

    def _give_back(self, taken: list[tuple[LiveBreaker, list[tuple[Tally, Report]]]]) -> None:
        for circuit, reports in taken:
            circuit.give_back(reports)
            circuit.store_away()

    def _send_settlements(self) -> None:
        while self._settlements:
            one = self._settlements[0]
            circuit, permit = one.circuit, one.permit
            generation, lease = permit.view.snapshot.generation, permit.lease or ""
            arguments = (circuit.name, generation, lease, one.result, one.slow, circuit.policy, self.reporter)
            try:
                snapshot = self.store.settle(*arguments)
            except StoreUnavailable:
                self._forget_if_late(one)
                raise
            self._settlements.popleft()
            circuit.answered(snapshot)

    def _forget_if_late(self, one: _Settlement) -> None:
        """The store has taken the lease back by itself."""
        if self._monotonic() - one.permit.renewed > one.circuit.policy.probe_lease:
            self._settlements.popleft()

    def _rest_if_idle(self, place: _Place, now: float) -> None:
        if place.circuit.is_used:
            place.used_at = now
        elif now - place.used_at > IDLE and place.circuit.rest():
            with self._lock:
                self._places.pop(place.circuit.name, None)

    def _renew(self, now: float) -> None:
        for place in list(self._places.values()):
            circuit, lease = place.circuit, place.circuit.policy.probe_lease
            for permit in circuit.probes():
                if now - permit.renewed >= lease / 3 and permit.lease is not None:
                    permit.renewed = now
                    self.store.renew(circuit.name, permit.lease, circuit.policy)
                self.wake(lease / 3)
