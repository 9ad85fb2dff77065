"""Settings: checked once, shown masked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.settings import Settings, load_settings, mask_url


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FLUXORA_BROKER_URL", "localhost:6379", "redis://localhost"),
        ("FLUXORA_REDIS_URL", "http://x", "redis://"),
        ("FLUXORA_LEDGER_URL", "mysql://x", "postgresql+psycopg://"),
        ("FLUXORA_BROKER_URL", "redis://h:port/0", "port is a number"),
        ("FLUXORA_BROKER_URL", "amqp://u:se/cret@h//", "%2F"),
        ("FLUXORA_BROKER_URL", "redis://h/zero", "Redis database"),
        ("FLUXORA_REDIS_URL", "redis://h:70000", "port is a number"),
        ("FLUXORA_RESULT_BACKEND", "nonsense://", "rpc://"),
        ("FLUXORA_RESULT_BACKEND", "redis://h:port/1", "port is a number"),
        ("FLUXORA_MAX_ATTEMPTS", "none", "whole number"),
        ("FLUXORA_MAX_ATTEMPTS", "0", "from 1"),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """One line: the variable and what to write."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    line = str(caught.value)
    assert line.startswith(f"{name} takes ")
    assert says in line
    assert "\n" not in line
    assert "cret" not in line


@pytest.mark.parametrize(
    "backend",
    ["redis", "rpc://", "redis://h:1/2?x=y", "db+postgresql://u@h/d", "cache+memory://", "my.module.Backend", "a:B"],
)
def test_every_form_of_a_result_backend_is_taken(backend: str) -> None:
    """Celery's names, its URLs, and the path of a class."""
    assert Settings(result_backend=backend).result_backend == backend


@pytest.mark.parametrize(
    "broker",
    ["sentinel://a:1/0;sentinel://b:2/0", "redis://[::1]:6379/15", "rediss://h/0?ssl_cert_reqs=none", "redis://h"],
)
def test_every_form_of_a_broker_is_taken(broker: str) -> None:
    """Several servers, IPv6, options, no database."""
    assert Settings(broker_url=broker).broker_url == broker


def test_a_slip_in_a_variable_is_answered_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would change nothing, and nobody would tell; what is like none of ours belongs to somebody else."""
    for name in ("FLUXORA_APP", "FLUXORA_DEBUG", "FLUXORA_BROKER_PASSWORD", "FLUXORA_TEST_REDIS_URL", "FLUXORAS_URL"):
        monkeypatch.setenv(name, "x")
    load_settings()
    monkeypatch.setenv("FLUXORA_MAX_ATEMPTS", "3")
    with pytest.raises(ConfigurationError, match="FLUXORA_MAX_ATEMPTS is no setting; did you mean FLUXORA_MAX_ATTE"):
        load_settings()


def test_an_explicit_value_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit argument over environment over default; an empty variable is no variable."""
    monkeypatch.setenv("FLUXORA_MAX_ATTEMPTS", "9")
    monkeypatch.setenv("FLUXORA_BROKER_URL", "")
    assert load_settings().max_attempts == 9
    assert load_settings(max_attempts=2).max_attempts == 2
    assert load_settings().broker_url is None


def test_passwords_are_not_shown() -> None:
    """Neither in repr nor in what interfaces show."""
    settings = Settings(
        broker_url="amqp://user:secret1@host//",
        redis_url="redis://:secret2@host/1",
        ledger_url="postgresql+psycopg://u:secret3@h/d",
        result_backend="redis://:secret4@host/1",
    )
    assert "secret" not in f"{settings!r} {settings!s} {settings.shown()}"


@given(password=st.text(min_size=1), rest=st.text())
def test_masking_never_raises_and_hides_the_password(password: str, rest: str) -> None:
    """Whatever somebody typed."""
    mask_url(rest)
    clean = password.replace("/", "").replace("@", "")
    if len(clean) > 3:
        assert clean not in mask_url(f"amqp://u:{clean}@host/x")


def test_a_long_state_directory_gets_a_short_socket(tmp_path: Path) -> None:
    """A Unix socket path may have 107 bytes."""
    assert Settings(state_dir=Path("/tmp/s")).embedded_socket == Path("/tmp/s/store.sock")
    deep = Settings(state_dir=tmp_path / ("d" * 120)).embedded_socket
    assert len(str(deep)) < 100
    assert deep != Settings(state_dir=tmp_path / ("e" * 120)).embedded_socket


def test_a_name_that_is_none_of_ours_is_answered_with_the_nearest() -> None:
    """A typo is an error when declared, not a setting that does nothing."""
    with pytest.raises(ConfigurationError, match="did you mean 'max_attempts'"):
        load_settings(max_atempts=3)


def test_several_wrong_values_are_named_at_once() -> None:
    """One correction, not one per start."""
    with pytest.raises(ConfigurationError, match=r"FLUXORA_BASE_DELAY takes .*; FLUXORA_JOURNAL takes"):
        Settings(base_delay=-1, journal="perhaps")  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "value"), [("off", False), ("TRUE", True), ("0", False)])
def test_flags(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    """The usual words."""
    monkeypatch.setenv("FLUXORA_JOURNAL", text)
    assert load_settings().journal is value
