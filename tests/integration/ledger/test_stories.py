"""One record, whole: its running replay, and records that may be the same message."""

from __future__ import annotations

from dataclasses import replace

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.letters import letter, moment

ANN = Actor("ann", "fixed")


def nameless(name: str, *, minutes: int = 0, queue: str = "demand") -> DeadLetter:
    """A message without an id of its own, in a record of its own."""
    note = letter(name, at=60 * minutes, task_id="", queue=queue)
    headers = {key: value for key, value in note.payload.headers.items() if key != "fx_message_id"}
    return replace(note, payload=replace(note.payload, headers=headers))


def test_messages_without_an_id_may_be_one(ledger: Ledger) -> None:
    """Same bytes, same queue, within an hour; never merged, only named."""
    notes = [nameless("m1"), nameless("m2", minutes=59), nameless("m3", minutes=61), nameless("m4", queue="other")]
    ledger.ingest(notes)

    story = ledger.story(notes[0].dead_id)

    assert story is not None
    assert list(story.duplicates) == [notes[1].dead_id]


def test_messages_with_ids_are_themselves(ledger: Ledger) -> None:
    """Whatever their bytes."""
    ledger.ingest([letter("m1"), letter("m2")])

    story = ledger.story(letter("m1").dead_id)

    assert story is not None
    assert story.duplicates == ()


def test_the_running_replay(ledger: Ledger) -> None:
    """It is told until there is an outcome."""
    note = letter("m1")
    ledger.ingest([note])
    assert ledger.running_replay(note.dead_id) is None
    (verdict,) = ledger.claim([note.dead_id], ANN)
    assert verdict.claim is not None

    replay = ledger.running_replay(note.dead_id)
    assert replay is not None
    assert (replay.replay_no, replay.actor, replay.issued_at) == (1, "ann", None)

    ledger.mark_issued([verdict.claim.item_id])
    ledger.ingest([Confirmation(note.dead_id, 1, "run", moment(3600), "w", gate_unavailable=True)])

    assert ledger.running_replay(note.dead_id) is None
    story = ledger.story(note.dead_id)
    assert story is not None
    assert "gate_unavailable" in story.events[-1].detail
