"""Circuits by name, and the policies they have."""

from __future__ import annotations

import contextvars
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxora_tasks import BreakerPolicy, CircuitBreaker, Settings, configure, shared
from fluxora_tasks.breaker import policyfile
from fluxora_tasks.breaker.registry import Breakers, breakers, use_policies
from fluxora_tasks.configuration import url_of
from fluxora_tasks.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_file() -> Iterator[None]:
    yield
    use_policies(None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked at whenever it may be."""
    monkeypatch.setattr(policyfile, "EVERY", 0.0)


def written(path: Path, said: Any) -> Path:
    """A new version, as a mounted ConfigMap swaps it in."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(said))
    os.replace(fresh, path)
    return path


def test_a_name_is_one_circuit() -> None:
    """Whoever asks for it, and however."""
    assert breakers().get("one") is breakers().get("one", BreakerPolicy())
    assert CircuitBreaker(name="one").live is breakers().get("one")


def test_a_file_wins_over_the_code_and_is_read_again(tmp_path: Path, impatient: None) -> None:
    """For the options it names; the circuit follows with its next look."""
    path = written(tmp_path / "config.json", {"services": {"weather-service": {"failure_threshold": 3}}})
    use_policies(path)
    circuit = CircuitBreaker(failure_threshold=9, recovery_timeout=7, name="weather-service")
    assert (circuit.policy.all_failed, circuit.policy.cooldown) == (3, 7.0)
    written(path, {"services": {"weather-service": {"failure_threshold": 4, "recovery_timeout": 60}}})
    circuit.acquire().ignore()
    assert (circuit.policy.all_failed, circuit.policy.cooldown) == (4, 60.0)


def test_a_version_that_does_not_work_changes_nothing(
    tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the last one stays in force."""
    path = written(tmp_path / "config.json", {"services": {"api": {"failure_threshold": 3}}})
    use_policies(path)
    circuit = breakers().get("api")
    written(path, {"services": {"api": {"failure_treshold": 5}}})
    circuit.try_acquire()
    assert circuit.policy.all_failed == 3
    assert "did you mean failure_threshold?" in caplog.text


def test_what_does_not_go_together_breaks_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file alone works, the code alone works: the code holds."""
    use_policies(written(tmp_path / "config.json", {"services": {"slow-*": {"cooldown_max": 10}}}))
    circuit = CircuitBreaker(recovery_timeout=500, name="slow-service")
    assert circuit.policy.cooldown == 500
    assert "slow-service" in caplog.text


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"services": {"api": {"windw": 3}}}', '{"services": {"api": {"window": 0}}}']
)
def test_a_file_that_does_not_work_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    """One line that names the file."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.json") as refused:
        configure(Settings(breakers_file=path))
    assert "\n" not in str(refused.value)


def test_another_shared_state_is_another_set_of_circuits() -> None:
    """Whoever holds a CircuitBreaker goes on with the new one."""
    circuit = CircuitBreaker(name="moving")
    before = circuit.live
    shared.use(lambda: None)
    assert circuit.live is not before
    assert circuit.live is breakers().get("moving")


def test_where_shared_state_is_found_without_an_application(tmp_path: Path) -> None:
    """The setting, else a broker or result backend that is Redis, else nowhere."""
    assert url_of(Settings(redis_url="redis://state:6379/2", broker_url="redis://broker/0")) == "redis://state:6379/2"
    assert url_of(Settings(broker_url="redis://broker/0")) == "redis://broker/0"
    assert url_of(Settings(broker_url="amqp://rabbit//", result_backend="redis://results/1")) == "redis://results/1"
    assert url_of(Settings(broker_url="amqp://rabbit//")) is None
    assert url_of(Settings(state_dir=tmp_path)) is None


def test_circuits_without_shared_state_are_kept() -> None:
    """Nobody else remembers what they counted."""
    alone = Breakers(None)
    for _ in range(5):
        alone.get("api").acquire().failure()
    assert alone.get("api").peek() is not None
    assert alone.names() == ["api"]


def test_a_block_left_elsewhere_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A framework may leave it in another context than it entered it in; nothing breaks."""
    circuit = CircuitBreaker(failure_threshold=1)
    contextvars.copy_context().run(circuit.__enter__)
    circuit.__exit__(ConnectionError, ConnectionError(), None)
    assert circuit.get_state()["failure_count"] == 0
    assert "another context" in caplog.text
