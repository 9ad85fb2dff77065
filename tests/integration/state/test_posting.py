"""Books written through the loop, in a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from kombu.asynchronous import Hub

from fluxora_tasks.journal import Journal
from fluxora_tasks.state import StateStore
from fluxora_tasks.worker.books import Books
from fluxora_tasks.worker.posting import Posting
from tests.servers import StoreServer
from tests.waiting import wait_until


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    state = StateStore(store.state_url())
    yield state
    state.close()


@pytest.fixture
def journal(state: StateStore) -> Journal:
    journal = Journal(state)
    for number in range(10):
        journal.opened(f"m{number}", "t")
    return journal


@pytest.fixture
def books(state: StateStore, journal: Journal) -> Books:
    return Books(state, journal)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def turn(hub: Hub) -> Callable[[], None]:
    loop = hub.create_loop()

    def turn() -> None:
        hub.call_soon(lambda: None)
        next(loop)

    return turn


def test_a_message_is_released_when_its_ending_is_written(
    books: Books, hub: Hub, journal: Journal, turn: Callable[[], None]
) -> None:
    """Sent at once, released in a later turn of the loop, in order."""
    posting, released = Posting(books, hub), []
    for number in range(3):
        posting.post([f"m{number}"], {})
        posting.post([], {"succeeded": [(f"m{number}", lambda number=number: released.append(number))]})
    assert released == []
    wait_until(lambda: turn() or len(released) == 3)
    assert released == [0, 1, 2]
    assert (journal.counts().succeeded, journal.counts().open) == (3, 7)
    assert books.unfinished_runs("m0") == 0


def test_what_is_under_way_can_be_waited_for(books: Books, hub: Hub, journal: Journal) -> None:
    """A stopping worker releases without another turn of its loop."""
    posting, released = Posting(books, hub), []
    posting.post(["m1"], {"dead_lettered": [("m0", lambda: released.append(0))]})
    posting.settle()
    assert released == [0]
    assert journal.counts().dead_lettered == 1
    assert books.unfinished_runs("m1") == 1


def test_a_forgotten_script_costs_no_ending(
    books: Books, hub: Hub, journal: Journal, state: StateStore, turn: Callable[[], None]
) -> None:
    """A failover brings a server without scripts."""
    posting, released = Posting(books, hub), []
    posting.post(["m0"], {})
    posting.settle()
    posting.post(["m1"], {})
    state.run(lambda client: client.script_flush())
    for number in range(2):
        posting.post([], {"succeeded": [(f"m{number}", lambda number=number: released.append(number))]})
    wait_until(lambda: turn() or len(released) == 2)
    assert journal.counts().succeeded == 2


def test_a_connection_that_ends_between_two_entries_is_replaced(
    books: Books, hub: Hub, journal: Journal, store: StoreServer, turn: Callable[[], None]
) -> None:
    """Nobody waits for it, and nothing is lost."""
    posting, released = Posting(books, hub), []
    posting.post(["m0"], {})
    posting.settle()
    posting.post(["m1"], {})
    wait_until(lambda: turn() or not posting._under_way)
    with redis.Redis.from_url(store.state_url()) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: turn() or posting._connection is None)
    posting.post([], {"succeeded": [("m0", lambda: released.append(0))]})
    wait_until(lambda: turn() or released == [0])
    wait_until(lambda: books.write([], {}) or journal.counts().succeeded == 1)


def test_while_the_server_is_silent_messages_go_on_and_endings_are_owed(
    books: Books, hub: Hub, journal: Journal, store: StoreServer, turn: Callable[[], None]
) -> None:
    """Released after the time any command may take; written when the server answers again."""
    posting, released = Posting(books, hub), []
    posting.post(["m0"], {})
    wait_until(lambda: turn() or not posting._under_way)
    with redis.Redis.from_url(store.state_url()) as client:
        client.client_pause(1500, all=True)
    posting.post([], {"succeeded": [("m0", lambda: released.append(0))]})
    wait_until(lambda: turn() or released == [0], 1.4)
    assert books.owing
    wait_until(lambda: books.write([], {}) or not books.owing)
    assert journal.counts().succeeded == 1
