"""Which messages Celery can run."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.worker.validation import Malformed, check_headers, check_payload

RIGHT: dict[str, Any] = {
    "id": "i", "task": "t", "shadow": None, "root_id": "r", "parent_id": None, "group": None, "group_index": 3,
    "retries": 0, "timelimit": [None, 1.5], "eta": "2026-11-23T12:00:00+00:00", "expires": None, "origin": "o",
    "ignore_result": False, "stamped_headers": None, "stamps": {}, "argsrepr": "()", "kwargsrepr": "{}", "lang": "py",
    "replaced_task_nesting": 0, "mine": object(),
}  # fmt: skip


def test_a_message_of_celery_passes() -> None:
    """Headers of other names are nobody's business."""
    check_headers(RIGHT)
    check_headers({"id": "i", "task": "t"})
    check_payload([[], {}, {}])
    check_payload(((1,), {"a": 1}, None))
    check_payload([[], {}, {"callbacks": None, "errbacks": [], "chain": [{}], "chord": {}}])


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("id", None),
        ("id", ""),
        ("id", 7),
        ("shadow", 3),
        ("timelimit", "12"),
        ("timelimit", [1]),
        ("timelimit", [1, "x"]),
        ("timelimit", [1, float("nan")]),
        ("eta", 12),
        ("eta", "soon"),
        ("eta", "9999-12-31T23:59:59"),
        ("eta", "0001-01-01T00:00:00+23:59"),
        ("retries", 2**31),
        ("id", "\ud800"),
        ("fx_message_id", "\ud800"),
        ("expires", []),
        ("retries", "3"),
        ("retries", -1),
        ("retries", True),
        ("stamped_headers", "ab"),
        ("stamps", []),
        ("group", {}),
    ],
)
def test_a_header_of_the_wrong_type_is_named(header: str, value: Any) -> None:
    """The text names the header and shows nothing of the message."""
    with pytest.raises(Malformed, match=header) as caught:
        check_headers({**RIGHT, header: value})
    assert caught.value.kind is Kind.NOT_A_TASK


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ([], Kind.NOT_A_TASK),
        ({}, Kind.NOT_A_TASK),
        (None, Kind.NOT_A_TASK),
        ("abc", Kind.NOT_A_TASK),
        ([[], {}], Kind.NOT_A_TASK),
        ([{}, {}, {}], Kind.BAD_ARGUMENTS),
        ([[], [], {}], Kind.BAD_ARGUMENTS),
        ([[], {1: 2}, {}], Kind.BAD_ARGUMENTS),
        ([[], {}, "x"], Kind.NOT_A_TASK),
        ([[], {}, {"callbacks": "x"}], Kind.NOT_A_TASK),
        ([[], {}, {"chord": []}], Kind.NOT_A_TASK),
    ],
)
def test_a_body_of_another_shape(payload: Any, kind: Kind) -> None:
    """Each of these stops a plain worker, or is lost."""
    with pytest.raises(Malformed) as caught:
        check_payload(payload)
    assert caught.value.kind is kind


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(headers=st.dictionaries(st.sampled_from([*RIGHT]) | st.text(), _json), payload=_json)
def test_nothing_but_malformed_leaves(headers: dict[str, Any], payload: Any) -> None:
    """Whatever somebody sends."""
    for check, value in ((check_headers, headers), (check_payload, payload)):
        with contextlib.suppress(Malformed):
            check(value)  # type: ignore[operator]
