"""Books of a worker in a real store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluxora_tasks.journal import Journal
from fluxora_tasks.state import StateStore
from fluxora_tasks.worker.books import RUNS_KEY, Books
from tests.servers import StoreServer, free_port


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    state = StateStore(store.state_url())
    yield state
    state.close()


def test_a_run_counts_until_its_message_ends(state: StateStore) -> None:
    """Two messages begin, one twice; one ends well, the other goes on."""
    journal = Journal(state)
    books = Books(state, journal)
    for message_id in ("m1", "m2", "m3"):
        journal.opened(message_id, "t")
    books.write(["m1", "m2"], {})
    books.write(["m2"], {})
    assert (books.unfinished_runs("m1"), books.unfinished_runs("m2")) == (1, 2)

    journal.retried()
    books.write(["m3"], {"succeeded": ["m1", "unknown"], None: ["m2"]})
    assert [books.unfinished_runs(message_id) for message_id in ("m1", "m2", "m3")] == [0, 0, 1]
    counts = journal.counts()
    assert (counts.succeeded, counts.retried, counts.open) == (1, 1, 2)
    assert 0 < state.run(lambda client: client.ttl(RUNS_KEY)) <= 7 * 86_400


def test_without_a_journal_only_runs_are_counted(state: StateStore) -> None:
    """A journal of somebody else's with the same ids is left alone."""
    journal = Journal(state)
    journal.opened("m1", "t")
    books = Books(state, None)
    books.write(["m1"], {})
    books.write([], {"succeeded": ["m1"]})
    assert books.unfinished_runs("m1") == 0
    assert journal.counts().open == 1


def test_many_endings_are_one_command(state: StateStore) -> None:
    """What one turn of the loop brings costs one round trip."""
    journal = Journal(state)
    books = Books(state, journal)
    ids = [f"m{number}" for number in range(200)]
    for message_id in ids:
        journal.opened(message_id, "t")
    books.write(ids, {})
    before = state.run(lambda client: client.info("stats"))["total_commands_processed"]
    books.write([], {"succeeded": ids[:100], "dead_lettered": ids[100:]})
    after = state.run(lambda client: client.info("stats"))["total_commands_processed"]
    assert after - before <= 2 + 2 * len(ids) + 3, "the script, what it does, and the two questions here"
    counts = journal.counts()
    assert (counts.succeeded, counts.dead_lettered, counts.open) == (100, 100, 0)


def test_with_the_store_away_a_worker_goes_on() -> None:
    """Nothing is written, nothing is raised, nobody is taken for poison."""
    books = Books(StateStore(f"redis://127.0.0.1:{free_port()}/0"), None)
    books.write(["m1"], {"succeeded": ["m0"]})
    assert books.unfinished_runs("m1") == 0


def test_endings_are_owed_while_the_store_is_away(store: StoreServer) -> None:
    """What ended during an outage is written by the next call after it, once."""
    state = StateStore(f"redis://127.0.0.1:{free_port()}/0")
    back = StateStore(store.state_url())
    journal = Journal(back)
    for message_id in ("m1", "m2", "m3"):
        journal.opened(message_id, "t")
    books = Books(state, Journal(state))
    books.write(["m1"], {"succeeded": ["m1"]})
    books.write([], {"succeeded": ["m2"], None: ["m3"]})
    assert books.owing

    state._client, state._closed_until = back._client, 0.0
    books.write([], {})
    assert not books.owing
    counts = journal.counts()
    assert (counts.succeeded, counts.open) == (2, 1)
    books.write([], {})
    assert journal.counts() == counts
    back.close()


def test_an_id_may_be_any_text(state: StateStore) -> None:
    """A foreign message's id, half a surrogate pair in it."""
    books = Books(state, Journal(state))
    books.write(["\ud800", "ü"], {})
    assert books.unfinished_runs("\ud800") == 1
    books.write([], {"succeeded": ["\ud800"], None: ["ü"]})
    assert (books.unfinished_runs("\ud800"), books.unfinished_runs("ü")) == (0, 0)
