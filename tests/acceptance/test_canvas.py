"""Chains, chords and callbacks whose member died: a replay lets them go on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord

from fluxora_tasks.install import install
from fluxora_tasks.operations.context import open_dead_letters
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.records import Actor
from fluxora_tasks.settings import Settings
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

APP = "tests.acceptance.failing_app"
ACTOR = Actor("tester", "repaired")


@dataclass
class Bench:
    """A worker, a recorder, a client, and the operator's view."""

    client: Celery
    dead: DeadLetters
    repaired: Path

    def task(self, name: str, *args: Any) -> Any:
        return self.client.signature(name, args=args)

    def dead_letters(self, count: int) -> list[str]:
        """Ids of the pending ones, when there are so many."""
        wait_until(lambda: len(self.dead.list("status:PENDING").items) == count, 30, f"{count} dead letters")
        return [item.id for item in self.dead.list("status:PENDING").items]

    def repair_and_replay(self, ids: list[str]) -> None:
        self.repaired.touch()
        assert {result.outcome for result in self.dead.replay(ids, ACTOR)} == {"done"}
        wait_until(lambda: self.dead.list("status:RESOLVED").total == len(ids), 30, "resolved")


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(broker: str, request: pytest.FixtureRequest, store: StoreServer, tmp_path: Path,
          celery_processes: CeleryProcesses) -> Iterator[Bench]:  # fmt: skip
    broker_url = str(request.getfixturevalue("store_url" if broker == "redis" else "vhost_url"))
    settings = Settings(
        broker_url=broker_url,
        redis_url=store.state_url(2),
        result_backend=store.broker_url(1),
        ledger_url=f"sqlite:///{tmp_path}/ledger.db",
    )
    environment = {
        f"FLUXORA_{name.upper()}": str(getattr(settings, name))
        for name in ("broker_url", "redis_url", "result_backend", "ledger_url")
    }
    client = Celery("client")
    extension = install(client, settings)
    celery_processes.recorder(APP, environment)
    celery_processes.worker(APP, environment)
    wait_until(lambda: (tmp_path / "ledger.db").exists(), 20)
    yield Bench(client, wait_until(lambda: _opened(settings, extension), 20), tmp_path / "repaired")
    gc.collect()  # results unsubscribe when they are collected: while the store is there to hear it
    client.close()


def _opened(settings: Settings, extension: Any) -> DeadLetters | None:
    try:
        return open_dead_letters(settings, extension.connect)
    except Exception:
        return None


@pytest.mark.parametrize("how", ["reported", "parked"])
def test_a_chain_goes_on_after_the_replay(bench: Bench, how: str) -> None:
    """a, b, c: b dies and is replayed; c runs, and all three show success."""
    middle = "add_when_repaired" if how == "reported" else "add_when_repaired_parked"
    result = chain(
        bench.task("add_one", 1), bench.task(middle, str(bench.repaired)), bench.task("add_one")
    ).apply_async()  # fmt: skip
    bench.repair_and_replay(bench.dead_letters(1))
    wait_until(lambda: result.state == "SUCCESS", 20, "the last link ran")
    assert (result.get(), result.parent.get(), result.parent.parent.get()) == (13, 12, 2)


@pytest.mark.parametrize("how", ["reported", "parked"])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_chord_runs_its_body_after_the_replay(bench: Bench, how: str, failing: int) -> None:
    """The body runs once, with the results of all members in their order, when the last one was replayed."""
    member = "add_when_repaired" if how == "reported" else "add_when_repaired_parked"
    header = [bench.task("add_one", number) for number in range(3)]
    header += [bench.task(member, number, str(bench.repaired)) for number in range(failing)]
    result = chord(header)(bench.task("total"))
    ids = bench.dead_letters(failing)
    bench.repair_and_replay(ids)
    wait_until(lambda: result.state == "SUCCESS", 20, "the body ran")
    assert result.get() == [1, 2, 3, 10, 11][: 3 + failing]


def test_callbacks_fire_once(bench: Bench, tmp_path: Path) -> None:
    """The error callback at the failure, the callback at the replay's success; each once."""
    lines = tmp_path / "lines"

    def noting(what: str) -> Any:
        return bench.client.signature("note", kwargs={"path": str(lines), "what": what}, immutable=True)

    task = bench.task("add_when_repaired", 1, str(bench.repaired))
    task.apply_async(ignore_result=True, link=noting("link"), link_error=noting("error"))
    bench.repair_and_replay(bench.dead_letters(1))
    wait_until(lambda: "link" in lines.read_text(), 20, "the callback ran")
    bench.client.send_task("too_slow", ignore_result=True, link_error=noting("slow"))
    bench.dead_letters(1)
    wait_until(lambda: "slow" in lines.read_text(), 20, "the error callback ran")
    assert bench.client.send_task("echo", [1]).get(timeout=20)
    assert sorted(lines.read_text().split()) == ["error", "link", "slow"]


def test_an_expired_message_runs_after_its_replay(bench: Bench, tmp_path: Path) -> None:
    """Its expiry revoked its id on the worker, which would throw a copy of the same id away again."""
    lines = tmp_path / "lines"
    kwargs = {"path": str(lines), "what": "ran"}
    result = bench.client.send_task("note", kwargs=kwargs, expires=-10, ignore_result=True)
    ids = bench.dead_letters(1)
    assert bench.dead.get(ids[0]).summary.kind == "expired"
    bench.repair_and_replay(ids)
    assert lines.read_text().split() == ["ran"]
    assert bench.dead.get(ids[0]).summary.task_id == result.id
