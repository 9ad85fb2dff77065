from __future__ import annotations

import base64
import json

import pytest

from fluxora_tasks.transport.filing import GARBAGE, as_redelivered, ending, envelope_in, read_envelope
from fluxora_tasks.transport.window import Message


@pytest.mark.parametrize("raw", [b'{"a": 1}', b"\xff\x00 no message", b'[1,"",""]', b""])
@pytest.mark.parametrize("queue", ["celery", 'odd","" "name', "Überlauf"])
def test_what_is_filed_comes_back_byte_for_byte(raw: bytes, queue: str) -> None:
    """Filing never parses, so garbage is kept like anything else."""
    assert envelope_in(b"[" + raw + ending(queue).encode()) == raw


def test_a_filed_message_reads_as_kombu_files_it() -> None:
    """Envelope, exchange, routing key: through the default exchange it goes back to its queue."""
    assert json.loads("[" + '{"body": "x"}' + ending("celery")) == [{"body": "x"}, "", "celery"]


def test_a_message_is_delivered_under_the_tag_it_is_filed_under() -> None:
    """The producer's tag is the same in every queue the message was routed to."""
    envelope = read_envelope(b'{"properties": {"delivery_tag": "old"}, "body": ""}', "celery", "new")
    assert envelope["properties"]["delivery_tag"] == "new"


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"{", b"[]", b"null", b"{}", b'{"properties": 3}', b"[" * 100_000])
def test_garbage_becomes_a_message_with_the_same_bytes(raw: bytes) -> None:
    """It reaches the consumer as a message of an unknown type, and is settled like one."""
    message = Message(read_envelope(raw, "celery", "tag"), channel=_Codec())
    assert message.headers == {GARBAGE: True}
    assert message.body == raw
    assert message.delivery_info["routing_key"] == "celery"


@pytest.mark.parametrize(
    "envelope",
    [
        {"body": "abc", "properties": {"body_encoding": "base64"}},  # broken base64
        {"body": "abc", "properties": {"body_encoding": "rot13"}},  # no such encoding
        {"body": "abc", "properties": {}, "headers": "text"},
    ],
)
def test_a_broken_envelope_is_garbage_as_a_whole(envelope: dict[str, object]) -> None:
    """Its bytes are kept, not what could be guessed of them."""
    raw = json.dumps(envelope).encode()
    message = Message(read_envelope(raw, "celery", "tag"), channel=_Codec())
    assert message.body == raw
    assert message.delivery_tag == "tag"


def test_a_redelivery_is_marked_in_both_places() -> None:
    """Celery reads one, kombu the other; everything else stays."""
    envelope = {"headers": {"id": 1}, "body": "eA==", "properties": {"delivery_info": {"exchange": ""}}}
    marked = json.loads(as_redelivered(json.dumps(envelope).encode()))
    assert marked["headers"] == {"id": 1, "redelivered": True}
    assert marked["properties"]["delivery_info"] == {"exchange": "", "redelivered": True}
    assert marked["body"] == "eA=="


@pytest.mark.parametrize("raw", [b"\xff", b"[]", b'{"headers": null}'])
def test_garbage_is_not_marked(raw: bytes) -> None:
    """It goes back as it was."""
    assert as_redelivered(raw) == raw


class _Codec:
    """The part of a channel that decodes bodies."""

    def decode_body(self, body: str, encoding: str | None) -> bytes | str:
        return {"base64": base64.b64decode, None: str}[encoding](body)
