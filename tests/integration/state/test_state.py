"""Shared state on a real server: bounded when it is away, right when it is back."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from fluxora_tasks.errors import ConfigurationError, StoreUnavailable
from fluxora_tasks.journal import _OPEN, COUNTS_KEY, Journal
from fluxora_tasks.state import TIMEOUT, StateStore
from fluxora_tasks.worker.gate import ReplayGate, Verdict, replay_key
from tests.servers import StoreServer, free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    state = StateStore(store.state_url())
    yield state
    state.close()


class HeldClock:
    """Monotonic time that moves when told."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    yield listener.getsockname()[1]
    listener.close()


def test_a_refusing_server_is_asked_once_per_gate_period(caplog: pytest.LogCaptureFixture) -> None:
    """Away: one attempt, one log line, then no attempt until the gate opens."""
    clock = HeldClock()
    state = StateStore(f"redis://127.0.0.1:{free_port()}/0", clock)
    asked = []

    def ping(client: object) -> None:
        asked.append(1)
        client.ping()  # type: ignore[attr-defined]

    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                state.run(ping)
        assert len(asked) == 1
        clock.at += 0.7
        with pytest.raises(StoreUnavailable):
            state.run(ping)
    assert len(asked) == 2
    assert len(caplog.records) == 1


def test_a_hanging_server_costs_its_timeout_once(silent_port: int) -> None:
    """A call never waits longer than the timeout for connecting and answering."""
    state = StateStore(f"redis://127.0.0.1:{silent_port}/0")
    before = time.monotonic()
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            state.run(lambda client: client.ping())
    assert time.monotonic() - before < 4 * TIMEOUT


def test_the_journal_counts_each_message_once(state: StateStore) -> None:
    """Opening and closing twice changes nothing."""
    journal = Journal(state)
    for _ in range(2):
        journal.opened("m1", "task.one")
        journal.opened("m2", "task.two")
    journal.closed(["m1"], "succeeded")
    journal.closed(["m1", "unknown"], "succeeded")
    counts = journal.counts()
    assert (counts.sent, counts.succeeded, counts.open, counts.gaps) == (2, 1, 1, 0)
    (entry,) = journal.open_entries()
    assert (entry.message_id, entry.task) == ("m2", "task.two")
    assert 0 <= entry.age < 60
    journal.forget()
    assert journal.counts().sent == 0


def test_the_journal_reads_any_number_of_entries(state: StateStore) -> None:
    """More than one slice."""
    journal = Journal(state)
    for number in range(2500):
        journal.opened(f"m{number}", "t\x1fodd")
    assert len({entry.message_id for entry in journal.open_entries()}) == 2500
    assert {entry.task for entry in journal.open_entries()} == {"t\x1fodd"}


def test_with_the_store_away_tasks_go_on_and_the_gap_is_counted(store: StoreServer) -> None:
    """What could not be noted is reported as soon as something can be."""
    clock = HeldClock()
    away = StateStore(f"redis://127.0.0.1:{free_port()}/0", clock)
    journal = Journal(away)
    journal.opened("m1", "t")
    journal.opened("m2", "t")
    journal.closed(["m1"], "succeeded")
    with pytest.raises(StoreUnavailable):
        journal.counts()
    back = StateStore(store.state_url())
    journal._open_script, journal._store = back.script(_OPEN), back
    journal.opened("m3", "t")
    assert (journal.counts().sent, journal.counts().gaps) == (1, 2)


def test_scripts_survive_a_flush_of_the_server(state: StateStore, store: StoreServer) -> None:
    """SCRIPT FLUSH, as a failover would."""
    journal = Journal(state)
    journal.opened("m1", "t")
    state.run(lambda client: client.script_flush())
    journal.opened("m2", "t")
    assert journal.counts().sent == 2


def test_one_physical_copy_of_a_replay_runs(state: StateStore) -> None:
    """The first publish id to arrive may run, again too; another may not; other replays are other doors."""
    gate = ReplayGate(state)
    assert gate.enter("d", 1, "p1") is Verdict.RUN
    assert gate.enter("d", 1, "p1") is Verdict.RUN
    assert gate.enter("d", 1, "p2") is Verdict.DUPLICATE
    assert gate.enter("d", 2, "p2") is Verdict.RUN
    ttl = state.run(lambda client: client.ttl(replay_key("d", 1)))
    assert 0 < ttl <= 7 * 86_400  # type: ignore[operator]


def test_two_copies_that_arrive_together_run_once(store: StoreServer) -> None:
    """Twelve workers, twelve copies, one winner."""
    verdicts: list[Verdict] = []
    barrier = threading.Barrier(12)

    def enter(number: int) -> None:
        gate = ReplayGate(StateStore(store.state_url()))
        barrier.wait()
        verdicts.append(gate.enter("d", 1, f"p{number}"))

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdicts) == [Verdict.DUPLICATE] * 11 + [Verdict.RUN]


def test_no_copy_of_a_void_replay_runs(state: StateStore) -> None:
    """Neither one that turns up, nor one that had entered and is delivered again; other replays are not meant."""
    gate = ReplayGate(state)
    gate.enter("d", 2, "entered")
    for replay_no in (1, 2):
        gate.void("d", replay_no)
    verdicts = [gate.enter("d", *copy) for copy in ((1, "late"), (1, "later"), (1, ""), (2, "entered"), (3, "p"))]
    assert verdicts == [Verdict.VOID] * 4 + [Verdict.RUN]
    ttl = state.run(lambda client: client.ttl(replay_key("d", 1)))
    assert ttl > 7 * 86_400, "longer than any copy is remembered"  # type: ignore[operator]


def test_a_copy_without_a_publish_id_shuts_nobody_out(state: StateStore) -> None:
    """It runs where no other has entered, and leaves no trace."""
    gate = ReplayGate(state)
    assert [gate.enter("d", 1, "") for _ in range(2)] == [Verdict.RUN] * 2
    assert gate.enter("d", 1, "p") is Verdict.RUN
    assert gate.enter("d", 1, "") is Verdict.DUPLICATE


def test_a_gate_that_cannot_be_asked_says_so() -> None:
    """Whether the copy runs is for the request to say; a replay that could not be declared void is not void."""
    away = StateStore(f"redis://127.0.0.1:{free_port()}/0")
    for gate in (ReplayGate(away), ReplayGate(None)):
        assert gate.enter("d", 1, "p") is Verdict.UNKNOWN
        with pytest.raises(StoreUnavailable):
            gate.void("d", 1)


def test_dropped_copies_are_counted(state: StateStore) -> None:
    """Beside the messages: none ends by it. Figures of a newer release are left alone."""
    journal = Journal(state)
    for _ in range(2):
        journal.dropped()
    state.run(lambda client: client.hset(COUNTS_KEY, "of_tomorrow", 7))
    counts = journal.counts()
    assert (counts.duplicates_dropped, counts.sent, counts.open) == (2, 0, 0)
    assert 0 < state.run(lambda client: client.ttl(COUNTS_KEY)) <= 30 * 86_400  # type: ignore[operator]


@pytest.mark.parametrize(
    "url", ["redis://localhost/0?colour=red", "unix:///run/x.sock?virtual_host=0", "redis+socket:///x"]
)
def test_a_url_that_redis_does_not_know(url: str) -> None:
    """It is told when the store is made, in one line; not by a TypeError of the first message that is sent."""
    with pytest.raises(ConfigurationError, match="give FLUXORA_REDIS_URL as in redis://localhost:6379/2"):
        StateStore(url)
