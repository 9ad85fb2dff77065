from __future__ import annotations

from fluxora_tasks.transport.liveness import SILENCE, STALLED, STEADY, UNKNOWN, consumers_in, patience_with


def test_a_silent_consumer_with_an_open_connection_is_waited_for() -> None:
    """Stopped or starved is not dead: the kernel closes a connection with its process."""
    assert patience_with("a", connected={"a", "b"}) == STALLED
    assert patience_with("a", connected={"b"}) == SILENCE


def test_where_the_server_does_not_tell_who_is_connected_patience_is_longer() -> None:
    """A restricted account may not list clients."""
    assert SILENCE < patience_with("a", connected=None) == UNKNOWN < STALLED


def test_nobody_judges_by_a_silence_it_shared() -> None:
    """An outage that silenced the others silenced the one who looks, for longer than it then waits."""
    assert STEADY > SILENCE


def test_consumers_are_known_by_the_names_of_their_connections() -> None:
    """Other clients of the server have other names, or none."""
    clients = "id=3 addr=? name=fluxora:host.1.ab age=1\nid=4 addr=? name= age=1\nid=5 name=worker fluxora:x"
    assert list(consumers_in(clients.split())) == ["host.1.ab"]
