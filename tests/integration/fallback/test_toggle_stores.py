"""What every keeper of switches promises: in memory, and in a real store."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from fluxora_tasks.errors import ConfigurationError, StoreUnavailable
from fluxora_tasks.fallback.live import CHANNEL, Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.stores import HISTORY_KEY, SWITCHES_KEY, RedisToggleStore
from fluxora_tasks.fallback.toggles import Switch, SwitchChange, SwitchKind, ToggleStore
from fluxora_tasks.state import StateStore
from tests.servers import StoreServer, free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

TOGGLE, MODE, LEVEL = SwitchKind.TOGGLE, SwitchKind.MODE, SwitchKind.LEVEL


@pytest.fixture(params=["memory", "redis"])
def keeper(request: pytest.FixtureRequest) -> ToggleStore:
    if request.param == "memory":
        return MemoryToggleStore()
    return RedisToggleStore(request.getfixturevalue("state"))


@pytest.fixture
def redis_keeper(state: StateStore) -> RedisToggleStore:
    return RedisToggleStore(state)


def standing(keeper: ToggleStore) -> dict[str, str]:
    known = keeper.read()
    assert known is not None
    return {switch.id: switch.value for switch in known.switches}


def test_a_switch_is_kept_whole(keeper: ToggleStore) -> None:
    """With who, why, what for, and its times by the store's clock."""
    given = Switch(MODE, "shop.tasks:charge <locals>", "25%", "Zoë", 'why "so"\nnow', "about")
    kept = keeper.put(given, 60)
    assert kept.until_ms - kept.since_ms == 60_000
    assert kept == replace(given, since_ms=kept.since_ms, until_ms=kept.until_ms)
    known = keeper.read()
    assert known is not None
    assert known.switches == (kept,)
    assert known.now_ms >= kept.since_ms


def test_a_level_is_kept_with_what_it_sets(keeper: ToggleStore) -> None:
    """Without an end, if that is said."""
    kept = keeper.put(Switch(LEVEL, "low", "defined", members={"mode:a": "always", "toggle:b": "off"}), None)
    known = keeper.read()
    assert known is not None
    assert known.switches == (kept,)
    assert (kept.until_ms, dict(kept.members)) == (0, {"mode:a": "always", "toggle:b": "off"})


def test_setting_again_replaces(keeper: ToggleStore) -> None:
    """One switch of a name per kind."""
    keeper.put(Switch(TOGGLE, "x", "on"))
    keeper.put(Switch(TOGGLE, "x", "off"))
    keeper.put(Switch(MODE, "x", "off"))
    assert standing(keeper) == {"mode:x": "off", "toggle:x": "off"}


def test_nothing_is_read_twice(keeper: ToggleStore) -> None:
    """A reader who knows the version is told that nothing changed; each change makes another version."""
    first = keeper.read()
    assert first is not None
    assert first.switches == ()
    assert keeper.read(first.version) is None
    versions = [first.version]
    for value in ("on", "off", "on"):
        keeper.put(Switch(TOGGLE, "x", value))
        known = keeper.read(versions[-1])
        assert known is not None
        versions.append(known.version)
    assert keeper.remove(TOGGLE, "x", "ann")
    known = keeper.read(versions[-1])
    assert known is not None
    assert [*versions, known.version] == sorted({*versions, known.version})


def test_unsetting_what_is_not_set_changes_nothing(keeper: ToggleStore) -> None:
    """And is told."""
    keeper.put(Switch(TOGGLE, "x", "on"))
    known = keeper.read()
    assert known is not None
    assert not keeper.remove(MODE, "x", "ann")
    assert keeper.read(known.version) is None
    assert len(keeper.history()) == 1


def test_the_history_tells_who_changed_what(keeper: ToggleStore) -> None:
    """Newest first, with the value before; what has ended is no value."""
    keeper.put(Switch(MODE, "a:b", "always", "ann", "maintenance"), 0.001)
    wait_until(lambda: standing(keeper) == {})
    keeper.put(Switch(MODE, "a:b", "off", "ben", "Zürich"), None)
    keeper.put(Switch(MODE, "a:b", "10%", "ben"), None)
    keeper.remove(MODE, "a:b", "cem", "over")
    lines = keeper.history()
    assert [(line.event, line.kind, line.name) for line in lines] == [("unset", "mode", "a:b")] + [
        ("set", "mode", "a:b")
    ] * 3
    assert [(line.previous, line.current, line.actor, line.why) for line in lines] == [
        ("10%", "", "cem", "over"),
        ("off", "10%", "ben", ""),
        ("", "off", "ben", "Zürich"),
        ("", "always", "ann", "maintenance"),
    ]
    assert lines[3].until_ms == lines[3].at_ms + 1
    assert isinstance(lines[0], SwitchChange)
    assert len(keeper.history(2)) == 2


def test_a_switch_that_ended_is_not_read(keeper: ToggleStore) -> None:
    """Nor can it be unset."""
    keeper.put(Switch(TOGGLE, "x", "off"), 0.001)
    wait_until(lambda: standing(keeper) == {})
    assert not keeper.remove(TOGGLE, "x", "ann")


def test_a_time_of_nothing_is_refused(keeper: ToggleStore) -> None:
    """Nothing is set."""
    with pytest.raises(ConfigurationError):
        keeper.put(Switch(TOGGLE, "x", "off"), 0)
    assert standing(keeper) == {}


def test_two_who_set_at_once_are_both_kept(store: StoreServer) -> None:
    """One step each: twelve writers, twelve switches, twelve lines, twelve versions."""
    barrier = threading.Barrier(12)

    def put(number: int) -> None:
        keeper = RedisToggleStore(StateStore(store.state_url()))
        barrier.wait()
        keeper.put(Switch(TOGGLE, f"x{number}", "on"))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keeper = RedisToggleStore(StateStore(store.state_url()))
    assert len(standing(keeper)) == len(keeper.history()) == 12


def test_nothing_stays_for_ever_but_what_has_no_end(redis_keeper: RedisToggleStore, state: StateStore) -> None:
    """The hash outlives its last switch by a day; the history is kept for 30 days."""

    def ttl(key: str) -> int:
        return int(state.run(lambda client: client.ttl(key)))

    day = 86_400
    redis_keeper.put(Switch(TOGGLE, "short", "on"), 60)
    assert day < ttl(SWITCHES_KEY) <= day + 60
    redis_keeper.put(Switch(TOGGLE, "endless", "on"), None)
    assert ttl(SWITCHES_KEY) == -1
    redis_keeper.put(Switch(TOGGLE, "long", "on"), 3600)
    assert ttl(SWITCHES_KEY) == -1
    redis_keeper.remove(TOGGLE, "endless", "ann")
    assert day + 60 < ttl(SWITCHES_KEY) <= day + 3600
    assert 0 < ttl(HISTORY_KEY) <= 30 * day


def test_what_ended_is_swept_with_the_next_change(redis_keeper: RedisToggleStore, state: StateStore) -> None:
    """The hash does not grow."""
    redis_keeper.put(Switch(TOGGLE, "x", "on"), 0.001)
    wait_until(lambda: standing(redis_keeper) == {})
    redis_keeper.put(Switch(TOGGLE, "y", "on"))
    assert sorted(state.run(lambda client: client.hkeys(SWITCHES_KEY))) == [b"toggle:y", b"v"]


def test_the_history_is_bounded(redis_keeper: RedisToggleStore, state: StateStore) -> None:
    """To about a thousand changes."""
    for number in range(1300):
        redis_keeper.put(Switch(TOGGLE, "x", f"{number % 100}%"))
    assert 1000 <= state.run(lambda client: client.xlen(HISTORY_KEY)) <= 1200


def test_a_server_that_forgot_everything_is_believed(redis_keeper: RedisToggleStore, state: StateStore) -> None:
    """A flush unsets every switch, for readers who know a version, too; later versions are later."""
    redis_keeper.put(Switch(TOGGLE, "x", "off"))
    before = redis_keeper.read()
    assert before is not None
    state.run(lambda client: client.flushdb())
    known = redis_keeper.read(before.version)
    assert known is not None
    assert known.switches == ()
    redis_keeper.put(Switch(TOGGLE, "x", "off"))
    known = redis_keeper.read(before.version)
    assert known is not None
    assert known.version > before.version


def test_what_a_newer_release_set_is_left_alone(redis_keeper: RedisToggleStore, state: StateStore) -> None:
    """It is not read, and does not keep others from being read."""
    redis_keeper.put(Switch(TOGGLE, "x", "off"))
    for field, value in (("colour:y", "1 0 red\n{}"), ("toggle:z", "1 0 on\n[]"), ("toggle:w", "gibberish")):
        state.run(lambda client, field=field, value=value: client.hset(SWITCHES_KEY, field, value))
    assert standing(redis_keeper) == {"toggle:x": "off"}
    redis_keeper.put(Switch(TOGGLE, "x", "on"))
    assert state.run(lambda client: client.hexists(SWITCHES_KEY, "colour:y"))
    assert standing(redis_keeper) == {"toggle:x": "on"}


def test_every_change_is_pushed(redis_keeper: RedisToggleStore, store: StoreServer) -> None:
    """With its version."""
    with redis.Redis.from_url(store.state_url()) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(CHANNEL)
        wait_until(lambda: client.pubsub_numsub(CHANNEL)[0][1] == 1)
        redis_keeper.put(Switch(TOGGLE, "x", "off"))
        known = redis_keeper.read()
        assert known is not None
        messages: list[bytes] = []
        wait_until(lambda: messages.extend(m["data"] for m in [pubsub.get_message()] if m) or messages)
    assert [json.loads(message) for message in messages] == [known.version]


@pytest.fixture
def away() -> Iterator[RedisToggleStore]:
    state = StateStore(f"redis://127.0.0.1:{free_port()}/0")
    yield RedisToggleStore(state)
    state.close()


def test_a_store_that_is_away_is_said(away: RedisToggleStore) -> None:
    """To whoever sets, unsets or reads; whoever asks for a toggle has the default."""
    for ask in (lambda: away.put(Switch(TOGGLE, "x", "off")), lambda: away.remove(TOGGLE, "x", "ann"), away.read,
                away.history):  # fmt: skip
        with pytest.raises(StoreUnavailable):
            ask()
    assert Toggles(away).is_enabled("x")
