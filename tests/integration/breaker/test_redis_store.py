"""Circuits on a real server, by its own clock: times to live, races, what is lost, what travels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import pytest
import redis
from redis.connection import AbstractConnection
from redis.crc import key_slot

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Counts, Order, Override, Report, Result
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.breaker.stores.answers import snapshot_of_push
from fluxora_tasks.breaker.stores.names import EVERY
from fluxora_tasks.breaker.stores.redis import EVENT_CHANNEL, NAMES_KEY, RedisBreakerStore
from fluxora_tasks.errors import ConfigurationError, StoreUnavailable
from fluxora_tasks.state import StateStore
from tests.conformance.breaker.hands import HeldClock
from tests.servers import StoreServer, free_port
from tests.unit.breaker.hands import Hour
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

T = TypeVar("T")

POLICY = BreakerPolicy(window=60, buckets=6, cooldown=30, jitter=0, probe_lease=20)
ORDER = Order("zoë", "calm")
NAME = "payments"
REST, WINDOW, LEASES, HISTORY = (f"fx:cb:{{{NAME}}}:{part}" for part in "swle")
DAY, MONTH = 86_400_000, 30 * 86_400_000


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    state = StateStore(store.state_url())
    yield state
    state.close()


@pytest.fixture
def keeper(state: StateStore) -> RedisBreakerStore:
    return RedisBreakerStore(state)


@pytest.fixture
def client(store: StoreServer) -> Iterator[Any]:
    """A look at the server from outside."""
    with redis.Redis.from_url(store.state_url()) as client:
        yield client


def report(generation: int = 0, calls: int = 5, failures: int = 5, refused: int = 0, name: str = NAME) -> Report:
    """Enough failures to open, unless told otherwise."""
    return Report(name, POLICY, generation, Counts(calls, failures), refused=refused)


def probing(keeper: BreakerStore) -> int:
    """A circuit whose first probe ``p1`` is under way; its generation."""
    keeper.open_for(NAME, 0, ORDER, POLICY)
    admission = keeper.admit(NAME, "p1", POLICY, "w1")
    assert admission.lease
    return admission.snapshot.generation


def at_once(work: Callable[[int], T], times: int) -> list[T]:
    """The answers of so many threads that begin together."""
    begin, answers = threading.Barrier(times), [None] * times

    def run(number: int) -> None:
        begin.wait(10)
        answers[number] = work(number)  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return answers  # type: ignore[return-value]


# ------------------------------------------------------------------------------------------ the server's clock


def test_time_is_the_servers(keeper: RedisBreakerStore, client: Any) -> None:
    """Of every answer; and so are the times that follow from it."""
    before = server_ms(client)
    opened = keeper.flush([report()], "w1")[0]
    refused = keeper.admit(NAME, "p1", POLICY, "w1").snapshot
    settled = keeper.settle(NAME, 0, "p1", Result.SUCCESS, False, POLICY, "w1")
    ordered = keeper.reset(NAME, ORDER, POLICY)
    read = keeper.read([NAME])[0].snapshot
    times = [before, *(one.now_ms for one in (opened, refused, settled, ordered, read)), server_ms(client)]
    assert times == sorted(times)
    assert (opened.since_ms, opened.until_ms) == (opened.now_ms, opened.now_ms + 30_000)


def server_ms(client: Any) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def test_a_cooldown_ends_by_the_servers_clock(keeper: RedisBreakerStore) -> None:
    """Refused until then, a probe from then on."""
    keeper.open_for(NAME, 0.3, ORDER, POLICY)
    first = keeper.admit(NAME, "p1", POLICY, "w1")
    assert (first.granted, first.ask_again_ms) == (False, first.snapshot.until_ms)
    answers = [first]

    def is_granted() -> bool:
        answers.append(keeper.admit(NAME, "p1", POLICY, "w1"))
        return answers[-1].granted

    wait_until(is_granted)
    *refused, granted = answers
    assert all(answer.snapshot.now_ms < first.ask_again_ms for answer in refused)
    assert granted.snapshot.now_ms >= first.ask_again_ms


# ------------------------------------------------------------------------------------------------------ races


def test_workers_see_one_circuit(store: StoreServer, keeper: RedisBreakerStore) -> None:
    """What two of them report adds up, and either learns where it stands."""
    other = RedisBreakerStore(StateStore(store.state_url()))
    assert keeper.flush([report(0, 4, 4)], "w1")[0].state is CircuitState.CLOSED
    opened = other.flush([report(0, 1, 1)], "w2")[0]
    assert opened.state is CircuitState.OPEN
    assert keeper.flush([report(0, 0, 0)], "w1")[0].generation == opened.generation
    assert (keeper.names(), other.read([NAME, "other"])[1].snapshot.generation) == ([NAME], 0)


def test_one_of_twelve_gets_the_probe(keeper: RedisBreakerStore) -> None:
    """When the cooldown is over; the others are told when to come again."""
    keeper.open_for(NAME, 0, ORDER, POLICY)
    answers = at_once(lambda number: keeper.admit(NAME, f"p{number}", POLICY, f"w{number}"), 12)
    assert sum(answer.granted for answer in answers) == 1
    assert {answer.snapshot.state for answer in answers} == {CircuitState.HALF_OPEN}
    assert {answer.ask_again_ms - answer.snapshot.since_ms for answer in answers if not answer.granted} == {20_000}
    assert [line.event for line in keeper.history(NAME)] == ["half_opened", "opened"]


def test_an_opening_is_told_once(keeper: RedisBreakerStore) -> None:
    """By whichever of two workers reports first; what the other one saw is late."""
    for number in range(20):
        name = f"circuit {number}"
        at_once(partial(_fail, keeper, name), 2)
        (status,) = keeper.read([name])
        assert [line.event for line in keeper.history(name)] == ["opened"]
        assert (status.snapshot.attempts, status.late) == (1, 5)


def _fail(keeper: BreakerStore, name: str, worker: int) -> None:
    keeper.flush([report(name=name)], f"w{worker}")


# ----------------------------------------------------------------------------------------------- times to live


def test_keys_do_not_outlive_their_use(keeper: RedisBreakerStore, client: Any) -> None:
    """A day for the circuit, the window and two buckets for counts, two leases for leases, a month for history."""
    keeper.flush([report(0, 1, 0)], "w1")
    assert DAY < ttl(client, REST) <= DAY + 10_000
    assert 70_000 < ttl(client, WINDOW) <= 80_000
    probing(keeper)
    assert 30_000 < ttl(client, LEASES) <= 40_000
    assert MONTH - 10_000 < ttl(client, HISTORY) <= MONTH
    assert MONTH - 10_000 < ttl(client, NAMES_KEY) <= MONTH
    assert not client.exists(WINDOW)
    assert set(client.keys("*")) == {key.encode() for key in (REST, LEASES, HISTORY, NAMES_KEY)}


def test_a_circuit_is_kept_for_as_long_as_it_is_open(keeper: RedisBreakerStore, client: Any) -> None:
    """And a day longer."""
    keeper.open_for(NAME, 3 * 86_400, ORDER, POLICY)
    assert 4 * DAY - 10_000 < ttl(client, REST) <= 4 * DAY + 10_000


def test_an_override_is_kept_until_its_end(keeper: RedisBreakerStore, client: Any) -> None:
    """One without end for ever, whatever is reported meanwhile."""
    keeper.override(NAME, Override.FORCED_CLOSED, 3 * 86_400, ORDER, POLICY)
    assert 4 * DAY - 10_000 < ttl(client, REST) <= 4 * DAY + 10_000
    generation = keeper.override(NAME, Override.FORCED_CLOSED, None, ORDER, POLICY).generation
    keeper.flush([report(generation)], "w1")
    assert ttl(client, REST) == -1
    keeper.override(NAME, Override.NONE, None, ORDER, POLICY)
    assert DAY - 10_000 < ttl(client, REST) <= DAY + 10_000


def test_what_is_refused_keeps_nothing_alive(keeper: RedisBreakerStore, client: Any) -> None:
    """Neither requests that find no room, nor empty or late reports, nor the ends of other probes."""
    generation = probing(keeper)
    for key in (REST, LEASES, HISTORY):
        client.pexpire(key, 15_000)
    assert not keeper.admit(NAME, "p2", POLICY, "w1").granted
    keeper.flush([report(1), report(generation, 0, 0, refused=3)], "w1")
    keeper.settle(NAME, generation, "p2", Result.SUCCESS, False, POLICY, "w1")
    keeper.settle(NAME, 1, "p1", Result.SUCCESS, False, POLICY, "w1")
    assert not keeper.renew(NAME, "p2", POLICY)
    assert all(ttl(client, key) <= 15_000 for key in (REST, LEASES, HISTORY))


def test_what_is_under_way_keeps_itself_alive(keeper: RedisBreakerStore, client: Any) -> None:
    """A probe its lease; counts, once per bucket, the circuit."""
    probing(keeper)
    client.pexpire(LEASES, 15_000)
    assert keeper.renew(NAME, "p1", POLICY)
    assert ttl(client, LEASES) > 30_000
    generation = keeper.reset(NAME, ORDER, POLICY).generation
    client.pexpire(REST, 15_000)
    keeper.flush([report(generation, 1, 0)], "w1")
    assert ttl(client, REST) > DAY


def test_a_window_does_not_grow(state: StateStore, client: Any) -> None:
    """Whoever failed before the window is forgotten: six buckets, one worker, and the shape."""
    clock = HeldClock()
    keeper = RedisBreakerStore(state, clock=clock)
    for number in range(12):
        clock.pass_(70)
        keeper.flush([report(0, 9, 1)], f"w{number}")
    assert client.hlen(WINDOW) == 8


def ttl(client: Any, key: str) -> int:
    return int(client.pttl(key))


# --------------------------------------------------------------------------------------------------- what is lost


def test_a_server_that_forgot_everything(keeper: RedisBreakerStore, client: Any) -> None:
    """Begins with a greater generation: nothing from before it matches, and the end of an old probe begins nothing."""
    generation = probing(keeper)
    wait_until(lambda: server_ms(client) > generation)  # several changes within one ms had run ahead
    client.flushdb()
    gone = keeper.settle(NAME, generation, "p1", Result.FAILURE, False, POLICY, "w1")
    assert (gone.state, gone.generation) == (CircuitState.CLOSED, 0)
    assert not keeper.renew(NAME, "p1", POLICY)
    assert client.keys("*") == []
    (late,) = keeper.flush([report(generation)], "w1")
    assert (late.state, late.counts) == (CircuitState.CLOSED, Counts())
    assert late.generation > generation


def test_a_circuit_of_another_version_begins_anew(keeper: RedisBreakerStore, client: Any) -> None:
    """With nothing but a greater generation; an older version's fields mean nothing."""
    generation = probing(keeper)
    client.hset(REST, mapping={"sv": 99, "gen": generation + 10_000_000, "att": 7, "strange": 1})
    (fresh,) = keeper.flush([report(0, 1, 0)], "w1")
    assert (fresh.state, fresh.attempts, fresh.counts) == (CircuitState.CLOSED, 0, Counts(1))
    assert fresh.generation == generation + 10_000_001
    (status,) = keeper.read([NAME])
    assert (status.snapshot, status.leases) == (replace(fresh, now_ms=status.snapshot.now_ms), {})
    assert not client.hexists(REST, "strange")


def test_scripts_are_loaded_again(keeper: RedisBreakerStore, client: Any) -> None:
    """After the server lost them, between any two steps, in the middle of a report and before the first one."""
    client.script_flush()
    assert len(keeper.flush([report(0, 1, 0), report(0, 1, 0, name="other")], "w1")) == 2
    client.script_flush()
    generation = probing(keeper)
    client.script_flush()
    assert keeper.renew(NAME, "p1", POLICY)
    client.script_flush()
    assert keeper.settle(NAME, generation, "p1", Result.SUCCESS, False, POLICY, "w1").ok == 1
    client.script_flush()
    assert keeper.reset(NAME, ORDER, POLICY).state is CircuitState.CLOSED
    assert keeper.names() == ["other", NAME]


STEPS: list[Callable[[BreakerStore, str], Any]] = [
    lambda keeper, name: keeper.flush([report(name=name)], "w1"),
    lambda keeper, name: keeper.admit(name, "p1", POLICY, "w1"),
    lambda keeper, name: keeper.settle(name, 1, "p1", Result.SUCCESS, False, POLICY, "w1"),
    lambda keeper, name: keeper.renew(name, "p1", POLICY),
    lambda keeper, name: keeper.override(name, Override.DISABLED, 1, ORDER, POLICY),
    lambda keeper, name: keeper.open_for(name, 1, ORDER, POLICY),
    lambda keeper, name: keeper.reset(name, ORDER, POLICY),
    lambda keeper, name: keeper.read([name]),
    lambda keeper, name: keeper.history(name),
]


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_is_away(step: Callable[[BreakerStore, str], Any]) -> None:
    """Every step says so in the words of the library."""
    state = StateStore(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(StoreUnavailable, match="away"):
        step(RedisBreakerStore(state), NAME)


def test_a_server_that_refuses(keeper: RedisBreakerStore, client: Any) -> None:
    """It answers, but runs no script, here because of a key that somebody else wrote: as good as away."""
    client.set(REST, "not a circuit")
    with pytest.raises(StoreUnavailable, match="refuses the scripts of circuits"):
        keeper.flush([report()], "w1")


# ------------------------------------------------------------------------------------------------- what travels


@pytest.mark.parametrize("step", STEPS)
def test_unfit_names(keeper: RedisBreakerStore, client: Any, step: Callable[[BreakerStore, str], Any]) -> None:
    """Are refused before anything is sent, by each step."""
    with pytest.raises(ConfigurationError, match="braces"):
        step(keeper, "a}:s{b")
    assert client.keys("*") == []


def test_keys_of_a_circuit_share_a_slot(keeper: RedisBreakerStore, client: Any) -> None:
    """So that its scripts run on a cluster; the names are nobody's, and written by a script of their own."""
    keeper.flush([report(0, 1, 1)], "w1")
    kept = set(client.keys("*"))
    probing(keeper)
    kept |= set(client.keys("*"))
    assert len(kept) == 5
    assert {key_slot(key) for key in kept - {NAMES_KEY.encode()}} == {key_slot(NAME.encode())}


def test_names_are_noted_once_a_minute(state: StateStore, client: Any) -> None:
    """By each process; a name that a server forgot, or was away for, is noted again."""
    hour = Hour()
    keeper = RedisBreakerStore(state, monotonic=hour)
    keeper.flush([report(0, 1, 0)], "w1")
    client.delete(NAMES_KEY)
    hour.now += EVERY - 0.1
    keeper.flush([report(0, 1, 0), report(0, 1, 0, name="other")], "w1")
    assert keeper.names() == ["other"]
    hour.now += 0.1
    keeper.flush([report(0, 1, 0)], "w1")
    assert keeper.names() == ["other", NAME]


def test_a_circuit_that_the_server_refuses_is_alone_with_that(keeper: RedisBreakerStore, client: Any) -> None:
    """Somebody wrote over its key: the others are folded in, once; a server that refuses all is away."""
    client.set(f"fx:cb:{{{NAME}}}:s", "not a hash")
    refused, kept = keeper.flush([report(0, 5, 5), report(0, 5, 1, name="other")], "w1")
    assert refused is None
    assert kept is not None
    assert kept.counts == Counts(5, 1)
    with pytest.raises(StoreUnavailable):
        keeper.flush([report(0, 5, 5)], "w1")


def test_fifty_circuits_are_one_round_trip(
    keeper: RedisBreakerStore, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script for each, sent together; their names were noted a moment ago."""
    reports = [report(name=f"circuit {number:02}") for number in range(50)]
    keeper.flush(reports, "w1")
    client.config_resetstat()
    sent: list[Any] = []
    send: Any = AbstractConnection.send_packed_command

    def count(self: Any, command: Any, *args: Any, **kwargs: Any) -> None:
        sent.append(command)
        send(self, command, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", count)
    snapshots = keeper.flush(reports, "w1")
    monkeypatch.undo()
    assert len(sent) == 1
    stats: Any = client.info("commandstats")
    assert (stats["cmdstat_evalsha"]["calls"], "cmdstat_eval" in stats) == (50, False)
    assert [snapshot.name for snapshot in snapshots] == [one.name for one in reports]


def test_successes_need_no_look_at_the_whole_window(state: StateStore, client: Any) -> None:
    """Nor does an empty report, in the bucket of the last one; a failure does, and the next bucket."""
    clock = HeldClock()
    keeper = RedisBreakerStore(state, clock=clock)
    keeper.flush([report(0, 3, 1)], "w1")
    client.config_resetstat()
    keeper.flush([report(0, 2, 0)], "w1")
    assert keeper.flush([report(0, 0, 0)], "w1")[0].counts == Counts(5, 1)
    assert "cmdstat_hgetall" not in client.info("commandstats")
    keeper.flush([report(0, 1, 1)], "w1")
    clock.pass_(10)
    assert keeper.flush([report(0, 1, 0)], "w1")[0].counts == Counts(7, 2)
    stats: Any = client.info("commandstats")
    assert stats["cmdstat_hgetall"]["calls"] == 2


def test_changes_are_told_to_everybody(keeper: RedisBreakerStore, client: Any) -> None:
    """A message has all that decides; counts and the policy's other numbers come with answers."""
    with client.pubsub() as channel:
        channel.subscribe(EVENT_CHANNEL)
        wait_until(lambda: channel.get_message(timeout=1), what="the subscription")
        opened = keeper.flush([report()], "w1")[0]
        forced = keeper.override(NAME, Override.METRICS_ONLY, 60, Order("zoë", 'so "quiet"\n'), POLICY)
        keeper.flush([report(1)], "w1")
        reset = keeper.reset(NAME, ORDER, POLICY)
        for snapshot in (opened, forced, reset):
            message: Any = wait_until(lambda: channel.get_message(timeout=1), what="the message")
            assert snapshot_of_push(message["data"]) == replace(snapshot, last_failure_ms=0)


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols(store: StoreServer, protocol: int) -> None:
    """What people are told is the same on either."""
    url = store.state_url()
    state = StateStore(f"{url}{'&' if '?' in url else '?'}protocol={protocol}")
    keeper = RedisBreakerStore(state)
    keeper.flush([report(0, 4, 4)], "w1")
    (closed,) = keeper.read([NAME])
    assert (closed.snapshot.counts, closed.reporters) == (Counts(4, 4), ("w1",))
    generation = probing(keeper)
    (status,) = keeper.read([NAME])
    assert (status.snapshot.state, status.snapshot.generation) == (CircuitState.HALF_OPEN, generation)
    assert list(status.leases) == ["p1"]
    assert 0 < status.leases["p1"] <= 20_000
    half_opened, opened = keeper.history(NAME)
    assert (half_opened.event, half_opened.generation, half_opened.reporter) == ("half_opened", generation, "w1")
    assert (opened.event, opened.actor, opened.why, opened.facts["attempts"]) == ("opened", "zoë", "calm", "1")
    state.close()
