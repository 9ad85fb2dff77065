"""A replay that nobody has heard of: shown, and given up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from fluxora_tasks.worker.gate import replay_key
from tests.integration.cli.programs import run
from tests.letters import letter

pytestmark = pytest.mark.integration


@pytest.fixture
def ledger(environment: dict[str, str]) -> Iterator[Ledger]:
    """With two records, of which one is being replayed."""
    engine = open_engine(environment["FLUXORA_LEDGER_URL"])
    upgrade(engine)
    found = Ledger(engine)
    found.ingest([letter("m1"), letter("m2")])
    (verdict,) = found.claim([letter("m1").dead_id], Actor("ann", "fixed"))
    assert verdict.claim is not None
    found.mark_issued([verdict.claim.item_id])
    yield found
    engine.dispose()


def test_a_silent_replay_is_given_up(environment: dict[str, str], ledger: Ledger) -> None:
    """It is shown as unconfirmed; then no copy of it may run, and its record waits again."""
    dead_id = letter("m1").dead_id
    ledger.flag_unconfirmed(after=0)

    assert "unconfirmed since" in run("fluxora", "dead", "show", dead_id, environment=environment).out
    found = run("fluxora", "dead", "list", "--filter", "unconfirmed:true", "--json", environment=environment)
    assert [item["id"] for item in found.document()["items"]] == [dead_id]

    words = ("dead", "lost", dead_id[:10], "--reason", "the queue was purged", "--json")
    (item,) = run("fluxora", *words, environment=environment).document()["items"]

    assert (item["outcome"], item["status"]) == ("done", "PENDING")
    with Redis.from_url(environment["FLUXORA_REDIS_URL"]) as store:
        assert store.get(replay_key(dead_id, 1)) == b"void"
    shown = run("fluxora", "dead", "show", dead_id, "--json", environment=environment).document()
    assert shown["replay"] is None
    assert shown["history"][-1]["event"] == "lost"


def test_what_is_not_silent_is_not_lost(environment: dict[str, str], ledger: Ledger) -> None:
    """It has to be said twice; a record without a replay has none to lose."""
    first, second = letter("m1").dead_id, letter("m2").dead_id
    refused = run("fluxora", "dead", "lost", first, second, "--reason", "x", environment=environment)

    assert refused.code == 4
    assert "not unconfirmed yet" in refused.out
    assert "no replay is under way" in refused.out
    with Redis.from_url(environment["FLUXORA_REDIS_URL"]) as store:
        assert store.get(replay_key(first, 1)) is None
    assert run("fluxora", "dead", "lost", first, "--anyway", "--reason", "x", environment=environment).code == 0


def test_workers_that_cannot_be_told(environment: dict[str, str], ledger: Ledger) -> None:
    """With Redis away nothing is given up."""
    away = {**environment, "FLUXORA_REDIS_URL": "redis://127.0.0.1:1/0"}
    ended = run("fluxora", "dead", "lost", letter("m1").dead_id, "--anyway", "--reason", "x", environment=away)

    assert ended.code == 5
    assert len(ended.err.splitlines()) == 1
    assert ledger.running_replay(letter("m1").dead_id) is not None


def test_records_are_exported_line_by_line(environment: dict[str, str], ledger: Ledger) -> None:
    """Those that the filter finds, newest first, each as it is shown."""
    ended = run("fluxora", "dead", "export", "--filter", "status:RETRYING", environment=environment)
    assert (ended.code, len(ended.out.splitlines())) == (0, 1)

    shown = run("fluxora", "dead", "show", letter("m1").dead_id, "--json", environment=environment)
    assert ended.document() == shown.document()
    assert len(run("fluxora", "dead", "export", environment=environment).out.splitlines()) == 2
