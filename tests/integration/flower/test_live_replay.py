"""The replay button with everything running behind it: Flower, worker, recorder, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from fluxora_tasks.ledger.repository import Ledger
from tests.processes import CeleryProcesses
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.acceptance, pytest.mark.browser]

APP = "tests.acceptance.failing_app"


def _status(browser: Chrome) -> str | None:
    """What the page says when it is loaded again."""
    browser.refresh()
    return browser.find_element(By.CSS_SELECTOR, "main .badge").get_attribute("title")


def _press_replay(browser: Chrome, reason: str) -> None:
    browser.find_element(By.NAME, "reason").send_keys(reason)
    browser.find_element(By.CSS_SELECTOR, "button[value=replay]").click()
    wait_until(lambda: browser.find_elements(By.ID, "fluxora-note"), 10, "the answer")


def test_the_button_sends_the_message_through_to_resolved(
    flower: str,
    browser: Chrome,
    ledger: Ledger,
    ledger_url: str,
    store_url: str,
    celery_processes: CeleryProcesses,
    tmp_path: Path,
) -> None:
    """Before the repair it fails again into the same record; after it the record becomes RESOLVED by itself."""
    environment = {"FLUXORA_BROKER_URL": store_url, "FLUXORA_LEDGER_URL": ledger_url}
    celery_processes.worker(APP, environment)
    celery_processes.recorder(APP, environment)
    repair = tmp_path / "repaired"
    Celery(broker=store_url, set_as_current=False).send_task("fails_until_repaired", (str(repair), "Zoë", 2**70))

    def listed() -> bool:
        browser.get(f"{flower}/fluxora/dead")
        return bool(browser.find_elements(By.LINK_TEXT, "fails_until_repaired"))

    wait_until(listed, 20, "the dead letter in the list")
    browser.find_element(By.LINK_TEXT, "fails_until_repaired").click()
    assert "1180591620717411303424" in browser.find_element(By.TAG_NAME, "main").text

    _press_replay(browser, "perhaps it is mended")
    wait_until(lambda: _status(browser) == "PENDING", 20, "the failure of the replay")
    repair.touch()
    _press_replay(browser, "now it is")
    wait_until(lambda: _status(browser) == "RESOLVED", 20, "the success of the replay")

    history = browser.find_element(By.CSS_SELECTOR, ".fluxora-history").text
    for text in ("perhaps it is mended", "ValueError: not repaired", "now it is", "replay 2 succeeded"):
        assert text in history
    assert not browser.find_elements(By.CSS_SELECTOR, "button[value=replay]")
