"""Several people replay one record at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.repository import Ledger
from tests.integration.cli.programs import Ended, run
from tests.integration.ledger.brokers import count
from tests.letters import letter

pytestmark = pytest.mark.integration

#: Processes; each takes half a second of a core to start.
MANY = 8


def test_one_is_sent_and_the_others_are_told(environment: dict[str, str]) -> None:
    """One publish, code 0; everybody else learns who replays it and since when, code 6."""
    engine = open_engine(environment["FLUXORA_LEDGER_URL"])
    upgrade(engine)
    note = letter()
    Ledger(engine).ingest([note])

    def replay(number: int) -> Ended:
        words = ("dead", "replay", note.dead_id, "--reason", "now", "--actor", f"user{number}", "--json")
        return run("fluxora", *words, environment=environment)

    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(replay, range(MANY)))

    assert sorted(answer.code for answer in answers) == [0] + [6] * (MANY - 1)
    told = {answer.document()["items"][0]["detail"] for answer in answers if answer.code == 6}
    (line,) = told
    assert line.startswith("already replaying by user")
    assert count(environment["FLUXORA_BROKER_URL"], note.queue) == 1
    engine.dispose()
