"""The thread beside a recorder: it ends with it, and none of its faults goes further."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from celery import Celery

from fluxora_tasks.install import Extension, install
from fluxora_tasks.interfaces.cli import executor
from fluxora_tasks.interfaces.cli.executor import executing, executor_name
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.settings import Settings


@pytest.fixture
def found(tmp_path: Path) -> Extension:
    """An app with a ledger."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return install(Celery("small", broker="memory://"), Settings(ledger_url=url))


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_it_ends_with_the_block(found: Extension) -> None:
    """Also where an error ends it."""
    stop = threading.Event()
    with pytest.raises(KeyError), executing(found, stop):  # noqa: PT012  the block is what is tested
        assert "bulk-executor" in threads()
        raise KeyError("recorder")
    assert stop.is_set()
    assert "bulk-executor" not in threads()


def test_its_faults_stay_its_own(
    found: Extension, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are logged; the block goes on to its end."""

    def broken(*_: object) -> None:
        raise RuntimeError("no executor today")

    monkeypatch.setattr(executor, "build_executor", broken)
    stop = threading.Event()
    with executing(found, stop):
        assert not stop.wait(0)
    assert "recorder.executor_failed" in caplog.text


def test_no_two_have_one_name() -> None:
    """Containers share names and process numbers."""
    assert executor_name() != executor_name()
