"""The fingerprint that a real worker leaves in its dead letters."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.deadletter.fingerprint import Fingerprint
from tests.acceptance.dead_queue import DeadQueue
from tests.processes import CeleryProcesses

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"

RULES = """
[[rules]]
exception = "Reject"
message = "not (\\\\w+)"
key = "{task} is not {1}"
"""

#: Task -> step and parts, whatever pool runs it.
TASKS = {
    "raise_value_error": (
        "frame",
        "type=builtins.ValueError", f"at={APP}:raise_value_error", "message=broken", "task=raise_value_error",
    ),
    "unpicklable": ("frame", f"type={APP}.Unpicklable", f"at={APP}:unpicklable", "task=unpicklable"),
    "exits": ("frame", "type=builtins.SystemExit", f"at={APP}:exits", "task=exits"),
    "celery_retries": (
        "frame", "type=builtins.KeyError", f"at={APP}:celery_retries", "message=<quoted>", "task=celery_retries",
    ),
    "rejected": ("rule", "key=rejected is not mine"),
    "nobody_knows_me": ("unknown_task", "kind=unknown_task", "task=nobody_knows_me"),
}  # fmt: skip

PREFORK_TASKS = {
    "kill_myself": ("worker_lost", "kind=worker_lost", "task=kill_myself", "signal=SIGKILL"),
    "too_slow": ("hard_time_limit", "kind=hard_time_limit", "task=too_slow"),
    "soft_limit": ("soft_time_limit", "kind=soft_time_limit", "task=soft_limit", f"at={APP}:soft_limit"),
}


@pytest.fixture(params=["prefork", "threads", "solo", "gevent"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(
    store_url: str, pool: str, store: Any, celery_processes: CeleryProcesses, tmp_path: Path
) -> Iterator[Celery]:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    environment = {
        "FLUXORA_BROKER_URL": store_url,
        "FLUXORA_REDIS_URL": store.state_url(2),
        "FLUXORA_RESULT_BACKEND": store.broker_url(1),
        "FLUXORA_GROUPING_FILE": str(rules),
        "FLUXORA_RELEASE": "2026.11",
    }
    celery_processes.worker(APP, environment, "--pool", pool, "--concurrency", "2")
    with Celery("client", broker=store_url, backend=store.broker_url(1), set_as_current=False) as client:
        yield client
        gc.collect()


def test_a_worker_tells_which_failures_are_alike(client: Celery, pool: str, store_url: str) -> None:
    """In each kind of pool, by its rules, with its release; many messages of one failure have one fingerprint."""
    expected = TASKS | (PREFORK_TASKS if pool == "prefork" else {})
    texts = [f"no price for {n} at 2026-11-23T10:00:{n:02}Z, see https://shop.example/{n}" for n in range(20)]
    dead = DeadQueue(store_url)
    for task in expected:
        client.send_task(task)
    for text in texts:
        client.send_task("raise_value_error", [text], headers={"alike": True})
    letters = dead.wait_for(len(expected) + len(texts), limit=60)
    dead.close()
    assert {letter.release for letter in letters} == {"2026.11"}
    alike = {letter.fingerprint for letter in letters if letter.payload.headers.get("alike")}
    text = "message=no price for <int> at <timestamp>, see <url>"
    assert [one.parts[2] for one in alike if one is not None] == [text]
    others = {letter.task: letter.fingerprint for letter in letters if not letter.payload.headers.get("alike")}
    assert others == {task: Fingerprint(step, tuple(parts)) for task, (step, *parts) in expected.items()}
