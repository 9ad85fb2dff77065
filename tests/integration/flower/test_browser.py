"""Dead letters in Flower, seen and clicked by a real browser."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
import redis
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from fluxora_tasks.ledger.repository import Ledger
from tests.integration.flower.conftest import dead_letter
from tests.servers import StoreServer

pytestmark = [pytest.mark.integration, pytest.mark.browser]


def _text(browser: Chrome, selector: str) -> str:
    return WebDriverWait(browser, 10).until(lambda b: b.find_element(By.CSS_SELECTOR, selector)).text


def _complaints(browser: Chrome) -> list[str]:
    """What the browser's console has to say; a blocked script or style would stand there."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def _queued(store: StoreServer) -> list[dict[str, Any]]:
    """Messages that wait in the queue ``celery``."""
    with redis.Redis.from_url(store.state_url(0)) as client:
        return [json.loads(raw) for raw in client.lrange("celery", 0, -1)]


def test_a_dead_letter_is_found_read_and_replayed(
    flower: str, browser: Chrome, ledger: Ledger, store: StoreServer
) -> None:
    """From Flower's first page to the message back in its queue."""
    letter = dead_letter(1)
    ledger.ingest([letter, dead_letter(2, task="other.task", text="something else")])

    browser.get(f"{flower}/")
    browser.find_element(By.LINK_TEXT, "Dead letters").click()
    assert _text(browser, "#fluxora-total") == "2 messages"
    assert "other.task" in _text(browser, "tbody tr:first-child")

    browser.find_element(By.NAME, "filter").send_keys("task:tests.*", Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda b: "filter=" in b.current_url)
    assert _text(browser, "#fluxora-total") == "1 message"
    browser.find_element(By.LINK_TEXT, "tests.apps.plain.refuse").click()

    page = _text(browser, "main")
    for text in ("NonRetryableError", "no such region", "Traceback (most recent call last)", '["no such region"]'):
        assert text in page
    assert browser.find_element(By.CSS_SELECTOR, "main .badge").get_attribute("title") == "PENDING"

    browser.find_element(By.NAME, "reason").send_keys("the region was added")
    browser.find_element(By.CSS_SELECTOR, "button[value=replay]").click()
    assert _text(browser, "#fluxora-note")
    assert browser.find_element(By.CSS_SELECTOR, "main .badge").get_attribute("title") == "RETRYING"
    assert "the region was added" in _text(browser, ".fluxora-history")
    assert not browser.find_elements(By.CSS_SELECTOR, "button[value=replay]")

    (queued,) = _queued(store)
    assert queued["headers"]["fx_dead_id"] == letter.dead_id
    assert _complaints(browser) == []


def test_hostile_text_runs_nothing(flower: str, browser: Chrome, ledger: Ledger) -> None:
    """Neither in the list nor on the page; the console stays silent."""
    attack = "</pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    letter = dead_letter(1, task=attack, text=attack)
    ledger.ingest([letter])
    for path in ("/fluxora/dead", f"/fluxora/dead/{letter.dead_id}"):
        browser.get(flower + path)
        assert "<script>document.title" in _text(browser, "main")
        assert "owned" not in browser.title.replace("document.title='owned'", "")
        assert browser.execute_script("return document.images.length") == 1  # Flower's own mark
    assert _complaints(browser) == []


def test_the_pages_work_without_javascript(flower: str, browser: Chrome, ledger: Ledger) -> None:
    """List, detail, and an action from the keyboard."""
    ledger.ingest([dead_letter(1)])
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"{flower}/fluxora/dead?status=PENDING")
    browser.find_element(By.LINK_TEXT, "tests.apps.plain.refuse").send_keys(Keys.ENTER)
    reason = WebDriverWait(browser, 10).until(lambda b: b.find_element(By.NAME, "reason"))
    reason.send_keys("done by hand", Keys.TAB, Keys.TAB, Keys.ENTER)
    assert _text(browser, "#fluxora-note")
    assert browser.find_element(By.CSS_SELECTOR, "main .badge").get_attribute("title") == "RESOLVED"


def test_a_page_that_is_not_ours_cannot_replay(
    flower: str, browser: Chrome, ledger: Ledger, store: StoreServer
) -> None:
    """A form of another origin is refused by the server, though Flower itself has no login."""
    letter = dead_letter(1)
    ledger.ingest([letter])
    target = f"{flower}/fluxora/dead/{letter.dead_id}"
    browser.get(target)
    browser.get(
        "data:text/html,<form method=post action='" + target + "'>"
        "<input name=action value=replay><input name=reason value=x><button>go</button></form>"
    )
    browser.find_element(By.TAG_NAME, "button").click()
    assert "not allowed" in _text(browser, "#fluxora-problem")
    assert _queued(store) == []


def test_nothing_sticks_out(flower: str, browser: Chrome, ledger: Ledger) -> None:
    """In both themes, wide and narrow, no sideways scrolling whatever the message; labels and ids are sound."""
    letter = dead_letter(1, task="a_very_long_name." * 12, text="x" * 3000)
    ledger.ingest([letter])
    pages = ("/fluxora/dead", f"/fluxora/dead/{letter.dead_id}")
    for theme, width, path in product(("light", "dark"), (1280, 400), pages):
        _show_as(browser, theme, width)
        browser.get(flower + path)
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("data-bs-theme") == theme
        for claim in _SOUND:
            assert browser.execute_script(f"return {claim}"), (theme, width, path, claim)


#: What holds on every page, as JavaScript.
_SOUND = (
    "document.documentElement.scrollWidth <= document.documentElement.clientWidth",
    "[...document.querySelectorAll('main input:not([type=hidden])')].every(i => i.labels.length)",
    "(ids => new Set(ids).size === ids.length)([...document.querySelectorAll('[id]')].map(e => e.id))",
)


def _show_as(browser: Chrome, theme: str, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
