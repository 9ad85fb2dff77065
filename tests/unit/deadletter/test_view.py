"""What may be shown of a message."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fluxora_tasks.deadletter.envelope import Payload, View
from fluxora_tasks.deadletter.redaction import USUAL, WITHHELD, Redaction
from fluxora_tasks.deadletter.secretpatterns import MARK
from fluxora_tasks.deadletter.view import MOST_READ, MOST_SHOWN, names_of, view_of, with_view
from tests.letters import letter

HEADERS = {"id": "i", "task": "t", "argsrepr": "('x',)", "kwargsrepr": "{}", "x-api-key": "kanarie", "kept": 1}


def payload(body: Any, content_type: str = "application/json", **headers: Any) -> Payload:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Payload(data, content_type, "utf-8", headers, {})


def test_arguments_and_headers() -> None:
    """By the names of keys, headers and parameters; Celery's representations are left out."""
    body = [["eva", "s3cr3t-a"], {"password": "s3cr3t-b", "again": "s3cr3t-a!"}, {}]
    view, secrets = view_of(payload(body, **HEADERS), ("user", "token"), USUAL)
    assert view == View(
        ["eva", MARK],
        {"password": MARK, "again": f"{MARK}!"},
        {"id": "i", "task": "t", "x-api-key": MARK, "kept": 1},
    )
    assert set(secrets.values) == {"s3cr3t-a", "s3cr3t-b", "kanarie"}


def test_paths_lead_to_arguments_by_number_and_by_name() -> None:
    """Whichever way an argument was given."""
    rules = Redaction(paths=[("kwargs", "customer", "name"), ("args", "1"), ("headers", "x-internal")])
    body = [[{"name": "eva", "id": 1}, "two", "three"], {}, {}]
    view, _ = view_of(payload(body, **{"X-Internal": "abc"}), ("customer", "b", "c"), rules)
    assert view.args == [{"name": MARK, "id": 1}, MARK, "three"]
    assert view.headers == {"X-Internal": MARK}
    view, _ = view_of(payload([[], {"customer": {"name": "eva"}}, {}]), (), rules)
    assert view.kwargs == {"customer": {"name": MARK}}


@pytest.mark.parametrize(
    ("body", "content_type", "note"),
    [
        (b"\x80\x04]", "application/x-python-serialize", "3 bytes of application/x-python-serialize, not loaded"),
        (b"[[1, 2", "application/json", "6 bytes of application/json, not the arguments of a task"),
        (b'{"a": 1}', "application/json", "8 bytes of application/json, not the arguments of a task"),
        (b"[[], [], {}]", "application/json", "12 bytes of application/json, not the arguments of a task"),
        (b"[" * 100_000, "application/json", "100000 bytes of application/json, not the arguments of a task"),
        (b"a;b", None, "3 bytes of unknown type, not loaded"),
    ],
)  # fmt: skip
def test_other_bodies_are_described(body: bytes, content_type: Any, note: str) -> None:
    """Never loaded, never shown."""
    view, _ = view_of(payload(body, content_type), (), USUAL)
    assert view == View(note=note)


def test_long_bodies() -> None:
    """Not shown, but looked through for secrets; the texts of endless ones are withheld."""
    body = [["x" * MOST_SHOWN], {"password": "s3cr3t"}, {}]
    view, secrets = view_of(payload(body), (), USUAL)
    assert (view.args, view.kwargs) == (None, None)
    assert view.note is not None
    assert "too long to show" in view.note
    assert secrets.values == ("s3cr3t",)
    _, secrets = view_of(payload(b" " * (MOST_READ + 1)), (), USUAL)
    assert USUAL.text("text", secrets) == WITHHELD


def test_names_of_arguments() -> None:
    """Those beyond the parameters belong to the one with a star."""
    assert names_of([1, 2, 3], ("a", "*tokens")) == ["a", "tokens", "tokens"]
    assert names_of([1, 2], ()) == ["", ""]
    assert names_of([1], ("a", "b")) == ["a"]


def test_a_letter_without_a_view_gets_one() -> None:
    """From the broker or an older worker; one that has a view stays as it is."""
    old = letter(message="refused s3cr3t", traceback="of s3cr3t", payload=payload([[], {"token": "s3cr3t"}, {}]))
    new = with_view(old, USUAL)
    assert (new.message, new.traceback) == (f"refused {MARK}", f"of {MARK}")
    assert new.view == View([], {"token": MARK})
    assert replace(new, view=None, message=old.message, traceback=old.traceback) == old
    assert with_view(new, Redaction(paths=[("kwargs", "x")])) is new
