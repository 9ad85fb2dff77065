"""Which parts a stack has, and what it says when one cannot be reached."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxora_tasks.devstack.stack import Stack, require_broker, require_store
from fluxora_tasks.errors import BrokerUnavailable, ConfigurationError, MissingExtra, StoreUnavailable
from fluxora_tasks.settings import Settings

ELSEWHERE = {
    "broker_url": "amqp://guest:guest@broker:5672//",
    "redis_url": "redis://redis:6379/2",
    "ledger_url": "postgresql+psycopg://fluxora@db/fluxora",
}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which nobody answers, and nobody else can start to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_children_find_the_embedded_parts(tmp_path: Path) -> None:
    """Broker, results and state are databases of one server; the paths are absolute."""
    settings = Settings(state_dir=tmp_path / "s")
    found = Stack(settings).environment
    assert found["FLUXORA_BROKER_URL"] == f"redis+socket://{settings.embedded_socket}"
    assert found["FLUXORA_RESULT_BACKEND"] == f"redis+socket://{settings.embedded_socket}?virtual_host=1"
    assert found["FLUXORA_REDIS_URL"] == f"unix://{settings.embedded_socket}?db=2"
    assert found["FLUXORA_LEDGER_URL"] == f"sqlite:///{tmp_path}/s/ledger.db"
    assert found["FLUXORA_STATE_DIR"] == f"{tmp_path}/s"


def test_children_get_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit settings reach a child through its environment."""
    settings = Settings(state_dir=tmp_path, max_attempts=7, base_delay=0.25, journal=False, **ELSEWHERE)
    for name, value in Stack(settings).environment.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize(
    ("given", "embedded"),
    [
        ((), True),
        (("broker_url", "redis_url", "ledger_url"), False),
        (("broker_url",), False),  # a Redis broker keeps the state too; without one there is none
        (("redis_url", "ledger_url"), True),  # the broker is still missing
    ],
)
def test_the_embedded_store_is_for_whoever_sets_no_broker(
    given: tuple[str, ...], embedded: bool, tmp_path: Path
) -> None:
    """What is configured is used as it is."""
    settings = Settings(state_dir=tmp_path, **{name: ELSEWHERE[name] for name in given})
    environment = Stack(settings).environment
    assert environment["FLUXORA_BROKER_URL"].startswith("redis+socket:") is embedded
    for name in given:
        assert environment[f"FLUXORA_{name.upper()}"] == ELSEWHERE[name]


@pytest.mark.parametrize(
    "url", ["amqp://me:secret@127.0.0.1:{}//", "redis://:secret@127.0.0.1:{}/0", "rediss://:secret@127.0.0.1:{}/0"]
)
def test_a_broker_that_does_not_answer(url: str, silent_port: int) -> None:
    """One line with the masked URL and the variable to correct."""
    with pytest.raises(BrokerUnavailable, match=r"does not answer .*check FLUXORA_BROKER_URL$") as caught:
        require_broker(url.format(silent_port))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_does_not_answer(silent_port: int) -> None:
    """One line with the masked URL and the variable to correct."""
    with pytest.raises(StoreUnavailable, match=r"does not answer .*check FLUXORA_REDIS_URL$") as caught:
        require_store(f"redis://:secret@127.0.0.1:{silent_port}/2")
    assert "secret" not in str(caught.value)


def test_a_taken_port_for_flower(silent_port: int, tmp_path: Path) -> None:
    """Said before anything is started."""
    with pytest.raises(ConfigurationError, match=f"port {silent_port} for Flower cannot be used"):
        Stack(Settings(state_dir=tmp_path / "state"), flower_port=silent_port).start()
    assert not (tmp_path / "state").exists()


def test_flower_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the extra to install is named."""
    monkeypatch.setitem(sys.modules, "flower", None)
    with pytest.raises(MissingExtra, match=r"pip install 'fluxora-tasks\[flower\]'"):
        Stack(Settings(state_dir=tmp_path / "state"), flower_port=0).start()


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """One line with the variable to correct."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="set FLUXORA_STATE_DIR"):
        Stack(Settings(state_dir=tmp_path / "file" / "state")).start()
