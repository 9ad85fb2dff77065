"""The audit on real brokers: what waits is in flight, what is nowhere is named."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.install import Extension, install
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations import audit as module
from fluxora_tasks.operations.audit import AuditReport, run_audit
from fluxora_tasks.settings import Settings
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(params=["redis", "redis with a prefix", "rabbitmq"])
def extension(request: pytest.FixtureRequest, store: StoreServer) -> Iterator[Extension]:
    broker_url = str(request.getfixturevalue("vhost_url" if request.param == "rabbitmq" else "store_url"))
    app = Celery("audited")
    if "prefix" in request.param:
        app.conf.broker_transport_options = {"global_keyprefix": "house:"}
    app.conf.task_ignore_result = True
    yield install(app, Settings(broker_url=broker_url, redis_url=store.state_url(2)))
    gc.collect()
    app.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    upgrade(engine)
    ledger = Ledger(engine)
    yield ledger
    ledger.close()


def report_of(extension: Extension, ledger: Ledger) -> AuditReport:
    return run_audit(extension.app, extension.journal, ledger, "fluxora.dead")


def send(extension: Extension, **options: Any) -> None:
    extension.app.send_task("anything", ignore_result=True, **options)


def test_what_waits_is_not_lost(extension: Extension, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queued and delayed messages, however old."""
    monkeypatch.setattr(module, "GRACE", 0.0)
    send(extension)
    send(extension, countdown=3600)
    send(extension, queue="another")
    report = report_of(extension, ledger)
    assert (report.sent, report.lost) == (3, ())
    assert report.in_flight + len(report.undecided) == 3


def test_what_is_nowhere_is_named(extension: Extension, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody purged the queue: the message is named with its task."""
    monkeypatch.setattr(module, "GRACE", 0.01)
    send(extension)
    with extension.app.connection_for_write() as connection:
        channel = connection.default_channel
        wait_until(lambda: channel.queue_purge("celery") or not _size(channel), 5)
    started = time.monotonic()
    report = wait_until(lambda: _with_lost(extension, ledger), 10)
    assert [entry.task for entry in report.lost] == ["anything"]
    assert report.lost[0].age <= time.monotonic() - started + 60


def _size(channel: Any) -> int:
    return int(channel.queue_declare("celery", passive=True).message_count)


def _with_lost(extension: Extension, ledger: Ledger) -> AuditReport | None:
    report = report_of(extension, ledger)
    return report if report.lost else None
