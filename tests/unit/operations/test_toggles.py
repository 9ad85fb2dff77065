"""Toggles, modes and levels for operators, over a store in memory whose clock the test holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NoReturn

import pytest

from fluxora_tasks.errors import ConfigurationError, StoreUnavailable
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.toggles import Switch
from fluxora_tasks.operations.records import Actor
from fluxora_tasks.operations.toggles import ToggleOperations, kind_and_name, open_toggles

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA = Actor("ada", "heat wave")


@pytest.fixture
def store() -> MemoryToggleStore:
    """At noon."""
    return MemoryToggleStore(lambda: round(NOON.timestamp() * 1000))


@pytest.fixture
def operations(store: MemoryToggleStore) -> ToggleOperations:
    """The operations over it."""
    return ToggleOperations(store)


@pytest.mark.parametrize(
    ("switch_id", "kind", "name"),
    [
        ("images", "toggle", "images"),
        ("toggle:images", "toggle", "images"),
        ("mode:shop.price", "mode", "shop.price"),
        ("level:brownout", "level", "brownout"),
        ("team:images", "toggle", "team:images"),  # a colon of the name's own
        ("mode:a:b", "mode", "a:b"),
    ],
)
def test_what_an_id_means(switch_id: str, kind: str, name: str) -> None:
    """A toggle, unless it says otherwise."""
    assert kind_and_name(switch_id) == (kind, name)


def test_a_switch_is_set_for_a_while(operations: ToggleOperations) -> None:
    """With an end, an actor and a reason."""
    (result,) = operations.set(["images"], "25 %", 600, ADA, {})
    assert (result.outcome, result.status, result.detail) == ("done", "25%", "until 2026-03-01 12:10:00 UTC")
    (item,) = operations.list()
    assert (item.id, item.kind, item.value, item.by, item.why) == ("images", "toggle", "25%", "ada", "heat wave")
    assert (item.since, item.until) == (NOON, NOON.replace(minute=10))


def test_a_level_names_what_it_sets(operations: ToggleOperations) -> None:
    """It is listed under the id that commands take, without an end where none was wanted."""
    members = {"toggle:images": "off", "mode:shop.price": "always"}
    (result,) = operations.set(["level:brownout"], "defined", None, ADA, members)
    assert (result.outcome, result.detail) == ("done", "")
    (item,) = operations.list()
    assert (item.id, item.name, item.until, item.members) == ("level:brownout", "brownout", None, members)


@pytest.mark.parametrize(
    ("switch_id", "value", "members"),
    [
        ("images", "maybe", {}),
        ("images", "on", {"toggle:x": "on"}),
        ("mode:shop.price", "on", {}),
        ("level:brownout", "defined", {}),
        ("level:brownout", "defined", {"level:x": "defined"}),
        ("mode:", "auto", {}),
    ],
)
def test_what_no_switch_can_be_is_refused(
    operations: ToggleOperations, switch_id: str, value: str, members: dict[str, str]
) -> None:
    """It says why, and nothing is set."""
    (result,) = operations.set([switch_id], value, 600, ADA, members)
    assert (result.id, result.outcome) == (switch_id, "refused")
    assert result.detail
    assert operations.list() == []


def test_unset(operations: ToggleOperations) -> None:
    """What is not set is unknown; nothing is unset twice."""
    operations.set(["images"], "off", 600, ADA, {})
    results = operations.unset(["images", "nothing", "images"], ADA)
    assert [(one.id, one.outcome) for one in results] == [("images", "done"), ("nothing", "unknown")]
    assert operations.list() == []


def test_history_is_newest_first_and_limited(operations: ToggleOperations) -> None:
    """Of all switches."""
    operations.set(["images"], "off", 600, ADA, {})
    operations.unset(["images"], ADA)
    assert [line.event for line in operations.history(1)] == ["unset"]
    assert [(line.previous, line.current) for line in operations.history()] == [("off", ""), ("", "off")]


def test_the_store_goes_away(store: MemoryToggleStore, operations: ToggleOperations) -> None:
    """What was not done is said to have failed."""

    def away(switch: Switch, seconds: float | None = None) -> NoReturn:
        raise StoreUnavailable("shared state is away")

    store.put = away  # type: ignore[method-assign]
    (result,) = operations.set(["images"], "off", 600, ADA, {})
    assert (result.outcome, result.status, result.detail) == ("failed", None, "shared state is away")


def test_no_shared_state() -> None:
    """Each process has switches of its own then, and this one none that matter."""
    with pytest.raises(ConfigurationError, match="FLUXORA_REDIS_URL"):
        open_toggles(None)
