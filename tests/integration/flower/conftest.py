"""A real Flower process over a real ledger, and a real browser before it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from fluxora_tasks.deadletter.envelope import DeadLetter, Kind, Payload
from fluxora_tasks.deadletter.identity import MESSAGE_ID, dead_id_for, failure_id_for
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.processes import CeleryProcesses
from tests.servers import missing

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
APP = "tests.apps.plain"

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def dead_letter(number: int, *, task: str = "tests.apps.plain.refuse", text: str = "no such region") -> DeadLetter:
    """A note as a worker publishes it, with a body as Celery wrote it."""
    message_id = f"00000000-0000-4000-8000-{number:012d}"
    dead_id = dead_id_for(message_id, task, "celery")
    body = json.dumps([[text], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return DeadLetter(
        dead_id=dead_id,
        failure_id=failure_id_for(dead_id, f"run-{number}"),
        message_id=message_id,
        run_id=f"run-{number}",
        kind=Kind.NON_RETRYABLE,
        task=task,
        task_id=message_id,
        queue="celery",
        routing_key="celery",
        failed_at=NOON + timedelta(minutes=number),
        exception_type="fluxora_tasks.errors.NonRetryableError",
        message=text,
        traceback=f"Traceback (most recent call last):\n  …\nNonRetryableError: {text}",
        worker="worker@localhost",
        payload=Payload(
            body.encode(),
            "application/json",
            "utf-8",
            {"lang": "py", "task": task, "id": message_id, MESSAGE_ID: message_id},
            {"correlation_id": message_id},
        ),
    )


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """Where the ledger of the test will be."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    engine = open_engine(ledger_url)
    upgrade(engine)
    yield Ledger(engine)
    engine.dispose()


@pytest.fixture
def flower(celery_processes: CeleryProcesses, store_url: str, ledger_url: str) -> str:
    """URL of ``celery -A APP flower``: the plain command."""
    process = celery_processes.start(
        "flower",
        APP,
        ("flower", "--address=127.0.0.1", "--port=0"),
        {"FLUXORA_BROKER_URL": store_url, "FLUXORA_LEDGER_URL": ledger_url},
        ready="Visit me at",
    )
    found = re.search(r"Visit me at (http://127\.0\.0\.1:\d+)", process.output())
    assert found, process.output()
    return found[1]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A headless Chromium with a fresh profile; what it logs is kept."""
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing("Chromium with its driver", "chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()
