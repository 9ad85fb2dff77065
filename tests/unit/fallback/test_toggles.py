"""Switches: what is a value, what a level sets, which rule is in force."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.errors import ConfigurationError, StoreUnavailable
from fluxora_tasks.events import ToggleChanged
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.registry import last_good_values, toggles, use_last_good_values, use_toggles
from fluxora_tasks.fallback.toggles import Switch, Switches, SwitchKind, is_among, milliseconds, percent_of
from fluxora_tasks.fallback.view import Rule, view_of
from tests.unit.fallback.conftest import HeldClock

TOGGLE, MODE, LEVEL = SwitchKind.TOGGLE, SwitchKind.MODE, SwitchKind.LEVEL


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [(TOGGLE, "ON", "on"), (TOGGLE, " off ", "off"), (TOGGLE, "25 %", "25%"), (MODE, "Always", "always"),
     (MODE, "0.5%", "0.5%"), (MODE, "100%", "100%"), (MODE, "off", "off")],
)  # fmt: skip
def test_values_are_kept_in_one_form(kind: SwitchKind, given: str, kept: str) -> None:
    """Lower case, no blanks."""
    assert Switch(kind, "x", given).value == kept


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ((TOGGLE, "x", "always"), "a toggle is 'on' or 'off' or a percentage"),
        ((MODE, "x", "on"), "a mode is 'auto' or 'always' or 'off' or a percentage"),
        ((MODE, "x", "101%"), "percentage"),
        ((MODE, "x", "-1%"), "percentage"),
        ((TOGGLE, "", "on"), "name"),
        ((TOGGLE, "a\nb", "on"), "name"),
        ((TOGGLE, "x" * 201, "on"), "name"),
        ((LEVEL, "x", "defined"), "a level names what it sets"),
        ((TOGGLE, "x", "on", "", "", "", {"mode:y": "off"}), "nothing else does"),
        ((LEVEL, "x", "defined", "", "", "", {"level:y": "off"}), "a level sets"),
        ((LEVEL, "x", "defined", "", "", "", {"mode:y": "on"}), "a mode is"),
    ],
)
def test_a_wrong_switch_is_said_when_it_is_built(switch: tuple[Any, ...], said: str) -> None:
    """With what would be right."""
    with pytest.raises(ConfigurationError, match=said):
        Switch(*switch)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), True, "1h"])
def test_a_time_is_above_zero(seconds: Any) -> None:
    """``None`` says that there is no end."""
    with pytest.raises(ConfigurationError, match="seconds above 0"):
        milliseconds(seconds)


@given(st.text(max_size=10), st.floats(0, 100), st.floats(0, 100))
def test_a_larger_share_holds_the_smaller_one(key: str, one: float, other: float) -> None:
    """Nobody leaves when a percentage grows; 0 % is nobody, 100 % everybody."""
    low, high = sorted((one, other))
    assert is_among("x", key, high) or not is_among("x", key, low)
    assert not is_among("x", key, 0)
    assert is_among("x", key, 100)


def test_a_share_is_about_as_large_as_it_says() -> None:
    """And another toggle's share is another one."""
    among = [{key for key in map(str, range(5000)) if is_among(name, key, 20)} for name in ("x", "y")]
    assert all(800 < len(keys) < 1200 for keys in among)
    assert len(among[0] & among[1]) < 400


def test_a_percentage_is_read_exactly() -> None:
    """From 0 to 100, with two decimals."""
    assert [percent_of(text) for text in ("0%", "12.25%", "100%", "100.01%", "1.234%", "5", "%")] == [
        0.0, 12.25, 100.0, None, None, None, None,
    ]  # fmt: skip


def test_nobody_set_it_nobody_changed_it() -> None:
    """The default of the caller."""
    assert toggles().is_enabled("x")
    assert not toggles().is_enabled("x", default=False)
    assert toggles().mode("op") is None


def test_a_switch_ends_by_itself(switches: MemoryToggleStore, clock: HeldClock) -> None:
    """After an hour, unless it is said otherwise."""
    switches.put(Switch(TOGGLE, "hour", "off"))
    switches.put(Switch(TOGGLE, "forever", "off"), None)
    clock.at += 3599.9
    assert not toggles().is_enabled("hour")
    clock.at += 0.1
    assert toggles().is_enabled("hour")
    clock.at += 1e6
    assert not toggles().is_enabled("forever")


def test_a_percentage_is_decided_by_the_key(switches: MemoryToggleStore, clock: HeldClock) -> None:
    """Without one, by chance."""
    switches.put(Switch(TOGGLE, "x", "40%"))
    asked = Toggles(switches, switches, clock, Random(7))
    for key in map(str, range(50)):
        assert asked.is_enabled("x", key=key) is is_among("x", key, 40)
    assert 300 < sum(asked.is_enabled("x") for _ in range(1000)) < 500


def test_a_level_switches_several_at_once(switches: MemoryToggleStore, clock: HeldClock) -> None:
    """While the toggle of its name is on, and as long as that is; what is set for a name itself wins."""
    members = {"mode:weather": "always", "toggle:adverts": "off", "toggle:search": "off"}
    switches.put(Switch(LEVEL, "brownout", "defined", members=members), None)
    switches.put(Switch(TOGGLE, "search", "on"), None)
    assert toggles().mode("weather") is None
    switches.put(Switch(TOGGLE, "brownout", "on"), 60)
    assert toggles().mode("weather") == Rule("always", None, clock.at + 60, "brownout")
    assert not toggles().is_enabled("adverts")
    assert toggles().is_enabled("search")
    clock.at += 60
    assert toggles().mode("weather") is None
    assert toggles().is_enabled("adverts")


def test_of_two_levels_the_later_one_wins(switches: MemoryToggleStore, clock: HeldClock) -> None:
    """The earlier one stays beneath it."""
    for level, value in (("one", "always"), ("two", "off")):
        switches.put(Switch(LEVEL, level, "defined", members={"mode:op": value}), None)
    for level, seconds in (("one", 100), ("two", 10)):
        clock.at += 1
        switches.put(Switch(TOGGLE, level, "on"), seconds)
    rule = toggles().mode("op")
    assert rule is not None
    assert (rule.value, rule.level) == ("off", "two")
    clock.at += 10
    rule = toggles().mode("op")
    assert rule is not None
    assert (rule.value, rule.level) == ("always", "one")


def test_ends_are_told_by_the_stores_clock() -> None:
    """A worker's clock may be an hour wrong."""
    known = Switches(1, 5_000_000, (Switch(TOGGLE, "x", "on", until_ms=5_010_000), Switch(TOGGLE, "y", "on")))
    view = view_of(known, 77.0)
    assert [view.rules[name][0].until for name in ("toggle:x", "toggle:y")] == [87.0, math.inf]


def test_changes_are_told_of_once(switches: MemoryToggleStore, clock: HeldClock, seen: list[Any]) -> None:
    """Set, changed, ended: also those that a level brings."""
    toggles().is_enabled("x")
    switches.put(Switch(LEVEL, "low", "defined", members={"mode:op": "always"}), None)
    switches.put(Switch(TOGGLE, "low", "on"), 10)
    switches.put(Switch(TOGGLE, "x", "50%"))
    switches.remove(TOGGLE, "x", "ann")
    clock.at += 10
    toggles().refresh()
    toggles().refresh()
    assert seen == [
        ToggleChanged("mode:op", "", "always"),
        ToggleChanged("toggle:low", "", "on"),
        ToggleChanged("toggle:x", "", "50%"),
        ToggleChanged("toggle:x", "50%", ""),
        ToggleChanged("mode:op", "always", ""),
        ToggleChanged("toggle:low", "on", ""),
    ]


class Away(MemoryToggleStore):
    """A store that can be away."""

    away = False

    def read(self, version: int = -1) -> Switches | None:
        if self.away:
            raise StoreUnavailable("away")
        return super().read(version)


def test_with_the_store_away_what_is_known_stays(clock: HeldClock) -> None:
    """Until its own end."""
    store = Away(clock.ms)
    store.put(Switch(TOGGLE, "x", "off"), 60)
    asked = Toggles(store, None, clock)
    assert not asked.is_enabled("x")
    store.away = True
    assert not asked.is_enabled("x")
    with pytest.raises(StoreUnavailable):
        asked.refresh()
    clock.at += 60
    assert asked.is_enabled("x")


class Lane:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.added: list[Any] = []
        self.woken: list[float] = []

    def add(self, participant: Any) -> None:
        self.added.append(participant)

    def wake(self, within: float, participant: Any = None) -> None:
        self.woken.append(within)


def test_the_lane_keeps_toggles_up(clock: HeldClock) -> None:
    """Joined with the first question, woken by a message, joined again in a forked child."""
    store, lane = MemoryToggleStore(clock.ms), Lane()
    asked = Toggles(store, lane, clock)
    store.put(Switch(TOGGLE, "x", "off"))
    assert asked.is_enabled("x"), "no I/O: nobody has looked yet"
    assert (lane.added, lane.woken) == ([asked], [0.0])
    asked.turn()
    assert not asked.is_enabled("x")
    asked.on_message(asked.channels[0], b"1")
    assert lane.woken == [0.0, 0.0]
    asked.forked()
    assert not asked.is_enabled("x"), "what the parent knew is known"
    assert lane.added == [asked, asked]


def test_without_a_state_a_process_is_alone() -> None:
    """Toggles and values work all the same, until they are made anew."""
    use_toggles(None)
    use_last_good_values(None)
    toggles().store.put(Switch(TOGGLE, "x", "off"))
    assert not toggles().is_enabled("x")
    assert last_good_values() is last_good_values()
    use_toggles(None)
    assert toggles().is_enabled("x")
