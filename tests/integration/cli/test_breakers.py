"""Circuits and toggles from the command line, on a real store; both programs."""

from __future__ import annotations

import pytest

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Counts, Report
from fluxora_tasks.breaker.stores.redis import RedisBreakerStore
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.stores import RedisToggleStore
from fluxora_tasks.state import StateStore
from tests.integration.cli.programs import run
from tests.servers import StoreServer

pytestmark = pytest.mark.integration


@pytest.fixture
def circuits(store: StoreServer) -> RedisBreakerStore:
    """As workers have left them: one that failed five times, one with a name that a hostile argument gave."""
    circuits = RedisBreakerStore(StateStore(store.state_url()))
    reports = [
        Report("weather-service", BreakerPolicy(), 0, Counts(5, 5)),
        Report("tenant-<b>\u202e", BreakerPolicy(), 0, Counts(4, 1)),
    ]
    circuits.flush(reports, "worker-1")
    return circuits


@pytest.mark.parametrize("program", ["fluxora", "celery"])
def test_what_stands_where(program: str, environment: dict[str, str], circuits: RedisBreakerStore) -> None:
    """A list, one circuit with its history, and a name that nobody has used."""
    page = run(program, "breakers", "list", "--json", environment=environment).document()
    assert [(item["state"], item["failures"]) for item in page["items"]] == [("CLOSED", 1), ("OPEN", 0)]
    assert (page["total"], page["next"]) == (2, None)
    one = run(program, "breakers", "show", "weather-service", "--json", environment=environment).document()
    assert (one["state"], one["reason"]) == ("OPEN", "all_failed")
    assert one["history"][0]["facts"]["failures"] == "5"
    text = run(program, "breakers", "list", environment=environment).out
    assert "\\u202e" in text
    assert "\u202e" not in text
    unknown = run(program, "breakers", "show", "wether-service", environment=environment)
    assert (unknown.code, unknown.out) == (4, "")
    assert "did you mean 'weather-service'?" in unknown.err


def test_an_operator_decides_and_lets_go(environment: dict[str, str], circuits: RedisBreakerStore) -> None:
    """Every decision has an end, an actor and a reason; a conflict changes nothing."""

    def act(*words: str) -> tuple[int, dict[str, str]]:
        said = run("fluxora", "breakers", *words, "--actor", "ann", "--json", environment=environment)
        result = said.document()["items"][0]
        assert result["outcome"] != "failed", result["detail"]  # a part that is away says which
        return said.code, result

    assert act("open", "weather-service", "--for", "5m", "--reason", "deploy")[1]["status"] == "FORCED_OPEN"
    # before the next program starts, which takes most of the second that is allowed here
    seconds = circuits.read(["weather-service"])[0].snapshot
    assert 299_000 < seconds.override_until_ms - seconds.now_ms <= 300_000
    shown = run("fluxora", "breakers", "show", "weather-service", "--json", environment=environment).document()
    assert (shown["override_by"], shown["override_why"]) == ("ann", "deploy")
    code, result = act("release", "weather-service", "--expect-generation", "1", "--reason", "done")
    assert (code, result["outcome"]) == (6, "conflict")
    assert act("release", "weather-service", "--reason", "done")[1]["status"] == "CLOSED"
    assert act("trip", "weather-service", "--for", "10s", "--reason", "ill")[1]["status"] == "OPEN"
    assert act("disable", "weather-service", "--for", "unlimited", "--reason", "noise")[1]["status"] == "DISABLED"
    assert act("shadow", "weather-service", "--reason", "tune")[1]["status"] == "METRICS_ONLY"
    assert act("close", "weather-service", "--reason", "sure")[1]["status"] == "FORCED_CLOSED"
    code, result = act("reset", "--filter", "name:weather-* state:FORCED_CLOSED", "--reason", "over")
    assert (code, result["status"]) == (0, "CLOSED")
    assert "nobody has used this name yet" in act("trip", "wether-service", "--reason", "ill")[1]["detail"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("open", "weather-service"), "--reason TEXT is required"),
        (("open", "--reason", "x"), "name one or more circuits"),
        (("open", "weather-service", "--for", "soon", "--reason", "x"), "30s, 5m, 1h, 2d"),
        (("trip", "weather-service", "--for", "unlimited", "--reason", "x"), "30s, 5m, 1h, 2d"),
        (("list", "--filter", "colour:red"), "filter, character 1"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    environment: dict[str, str], circuits: RedisBreakerStore, words: tuple[str, ...], said: str
) -> None:
    """And changes nothing."""
    told = run("fluxora", "breakers", *words, environment=environment)
    assert told.code == 2
    assert said in told.err
    assert "Traceback" not in told.err
    assert circuits.history("weather-service", 10)[0].event == "opened"


def test_without_shared_state_or_while_it_is_away(environment: dict[str, str]) -> None:
    """One line that names the setting."""
    alone = {**environment, "FLUXORA_BROKER_URL": "amqp://nobody@127.0.0.1:1//", "FLUXORA_REDIS_URL": ""}
    for group in ("breakers", "toggles"):
        told = run("fluxora", group, "list", environment=alone)
        assert told.code == 2
        assert "FLUXORA_REDIS_URL" in told.err
        away = run("fluxora", group, "list", environment={**environment, "FLUXORA_REDIS_URL": "redis://127.0.0.1:1/0"})
        assert (away.code, len(away.err.splitlines())) == (5, 1)


@pytest.mark.parametrize("program", ["fluxora", "celery"])
def test_toggles_are_set_and_unset(program: str, environment: dict[str, str], store: StoreServer) -> None:
    """For a while, by somebody, for a reason; a process that asks knows it."""
    kept = RedisToggleStore(StateStore(store.state_url()))
    process = Toggles(kept)

    def toggles(*words: str) -> tuple[int, list[dict[str, str]]]:
        said = run(program, "toggles", *words, "--json", environment=environment)
        return said.code, said.document()["items"]

    assert toggles("set", "recommendations", "off", "--for", "10m", "--reason", "slow")[0] == 0
    assert toggles("set", "mode:shop.price", "always", "--reason", "ill")[0] == 0
    brownout = ("level:brownout", "defined", "--sets", "toggle:images=off", "--for", "unlimited", "--reason", "plan")
    assert toggles("set", *brownout)[0] == 0
    assert not process.is_enabled("recommendations")
    assert process.is_enabled("images")
    assert [item["id"] for item in toggles("list")[1]] == ["level:brownout", "mode:shop.price", "recommendations"]
    assert toggles("set", "brownout", "on", "--reason", "now")[0] == 0
    process.refresh()
    assert not process.is_enabled("images")
    code, results = toggles("unset", "recommendations", "nothing", "--reason", "fast again")
    assert (code, [one["outcome"] for one in results]) == (3, ["done", "unknown"])
    assert toggles("history", "--limit", "1")[1][0]["event"] == "unset"
    assert toggles("set", "recommendations", "maybe", "--reason", "x")[0] == 4
