"""The plain ``celery flower`` command, without a browser."""

from __future__ import annotations

import re
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.processes import CeleryProcesses

pytestmark = pytest.mark.integration


def _get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_a_ledger_that_does_not_exist_is_one_line(flower: str) -> None:
    """Flower runs; our page says what to start."""
    status, page = _get(f"{flower}/fluxora/dead")
    assert status == 503
    assert "does not exist yet; start the recorder" in page
    assert "Traceback" not in page
    assert _get(f"{flower}/workers")[0] == 200


def test_an_app_without_install_gets_plain_flower(celery_processes: CeleryProcesses) -> None:
    """Nothing of ours: no entry, no page, no warning."""
    process = celery_processes.start(
        "flower",
        "tests.apps.bare",
        ("flower", "--address=127.0.0.1", "--port=0"),
        {},
        ready="Visit me at",
    )
    found = re.search(r"Visit me at (\S+)", process.output())
    assert found
    root = found[1].rstrip("/")
    assert _get(f"{root}/fluxora/dead")[0] == 404
    assert "Dead letters" not in _get(f"{root}/workers")[1]
    assert "luxora" not in process.output()
