"""Our toggles under the real OpenFeature SDK."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import Any

import pytest

openfeature = pytest.importorskip("openfeature.api")

from openfeature.client import OpenFeatureClient  # noqa: E402 - after the question whether it is there
from openfeature.evaluation_context import EvaluationContext  # noqa: E402
from openfeature.event import ProviderEvent  # noqa: E402
from openfeature.exception import ErrorCode  # noqa: E402
from openfeature.flag_evaluation import Reason  # noqa: E402

from fluxora_tasks.errors import MissingExtra  # noqa: E402
from fluxora_tasks.fallback.memory import MemoryToggleStore  # noqa: E402
from fluxora_tasks.fallback.openfeature import FluxoraProvider  # noqa: E402
from fluxora_tasks.fallback.registry import toggles  # noqa: E402
from fluxora_tasks.fallback.toggles import Switch, SwitchKind, is_among  # noqa: E402


@pytest.fixture
def client() -> Iterator[OpenFeatureClient]:
    openfeature.set_provider(FluxoraProvider())
    yield openfeature.get_client()
    openfeature.shutdown()


@pytest.mark.parametrize(("value", "enabled"), [("on", True), ("off", False)])
def test_a_toggle_is_a_boolean_flag(
    client: OpenFeatureClient, switches: MemoryToggleStore, value: str, enabled: bool
) -> None:
    """With a variant and the reason STATIC."""
    switches.put(Switch(SwitchKind.TOGGLE, "x", value))
    details = client.get_boolean_details("x", not enabled)
    assert (details.value, details.variant, details.reason) == (enabled, value, Reason.STATIC)
    assert details.error_code is None


def test_a_toggle_that_nobody_set_is_not_found(client: OpenFeatureClient) -> None:
    """The default of the caller holds."""
    details = client.get_boolean_details("x", True)
    assert (details.value, details.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)


def test_a_percentage_is_decided_by_the_targeting_key(client: OpenFeatureClient, switches: MemoryToggleStore) -> None:
    """With the reason SPLIT; without a key, the default holds."""
    switches.put(Switch(SwitchKind.TOGGLE, "x", "50%"))
    for key in ("ann", "ben", "cem", "dee", "eva"):
        details = client.get_boolean_details("x", False, EvaluationContext(key))
        assert (details.value, details.reason) == (is_among("x", key, 50), Reason.SPLIT)
    assert client.get_boolean_details("x", True).error_code is ErrorCode.TARGETING_KEY_MISSING


@pytest.mark.parametrize(("kind", "default"), [("string", "s"), ("integer", 1), ("float", 1.5), ("object", {"a": 1})])
def test_a_toggle_is_no_other_flag(
    client: OpenFeatureClient, switches: MemoryToggleStore, kind: str, default: Any
) -> None:
    """Another type is a mismatch, and the default holds."""
    switches.put(Switch(SwitchKind.TOGGLE, "x", "on"))
    details = getattr(client, f"get_{kind}_details")("x", default)
    assert (details.value, details.error_code) == (default, ErrorCode.TYPE_MISMATCH)
    assert getattr(client, f"get_{kind}_details")("y", default).error_code is ErrorCode.FLAG_NOT_FOUND


def test_a_level_is_named(client: OpenFeatureClient, switches: MemoryToggleStore) -> None:
    """In the flag's metadata."""
    switches.put(Switch(SwitchKind.LEVEL, "low", "defined", members={"toggle:x": "off"}), None)
    switches.put(Switch(SwitchKind.TOGGLE, "low", "on"))
    assert client.get_boolean_details("x", True).flag_metadata == {"level": "low"}


def test_changes_are_events(client: OpenFeatureClient, switches: MemoryToggleStore) -> None:
    """Of toggles, not of modes; none after the provider was shut down."""
    changed: list[Any] = []

    def on_change(details: Any) -> None:
        changed.append(details.flags_changed)

    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, on_change)
    toggles().refresh()
    assert client.get_boolean_value("x", True)
    switches.put(Switch(SwitchKind.TOGGLE, "x", "off"))
    switches.put(Switch(SwitchKind.MODE, "op", "off"))
    assert changed == [["x"]]
    openfeature.shutdown()
    switches.put(Switch(SwitchKind.TOGGLE, "x", "on"))
    assert changed == [["x"]]


def test_without_its_extra_the_provider_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is imported."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("openfeature"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "fluxora_tasks.fallback.openfeature")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"fluxora-tasks\[toggles\]"):
        import fluxora_tasks.fallback.openfeature  # noqa: F401
