"""Keys of arguments: the same for the same, different for different."""

from __future__ import annotations

import copy
import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.fallback.call import argument_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Colour(enum.Enum):
    """With a value that is also an argument."""

    RED = 1


DIFFERENT: list[Any] = [
    1, 1.0, "1", True, None, "None", [1], ["1"], {"a": 1}, {"a": "1"}, b"1", Colour.RED,
    date(2000, 6, 5), "2000-06-05", datetime(2000, 6, 5, tzinfo=UTC), Decimal("1"), Decimal("1.0"),
    UUID(int=1), {1, 2}, {1}, [1, 2], [[1], [2]],
]  # fmt: skip


def test_different_arguments_have_different_keys() -> None:
    """Types count as well."""
    keys = [argument_key((value,), {}) for value in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)
    assert argument_key((), {"x": 1}) != argument_key((1,), {})


def test_order_that_means_nothing_changes_nothing() -> None:
    """Of keywords, of a dict's items, of a set."""
    assert argument_key((), {"a": 1, "b": 2}) == argument_key((), {"b": 2, "a": 1})
    assert argument_key(({"a": 1, "b": 2},), {}) == argument_key(({"b": 2, "a": 1},), {})
    assert argument_key(({"x", "y", "z"},), {}) == argument_key(({"z", "y", "x"},), {})


def test_a_key_is_the_same_in_every_release() -> None:
    """Values that were kept by the last one are found by the next."""
    assert argument_key(("New York", 3), {"unit": "C"}) == "efed8c5f07c29c0e7a07d818803c7ab3"


@given(JSON, JSON)
def test_equal_keys_mean_equal_arguments(one: Any, other: Any) -> None:
    """No two calls share a value by accident."""
    assert argument_key((one,), {}) == argument_key((copy.deepcopy(one),), {})
    assert one == other or argument_key((one,), {}) != argument_key((other,), {})


def test_what_has_no_json_form_has_no_key() -> None:
    """Said by an error, which names the type."""
    with pytest.raises(TypeError, match="object has no JSON form"):
        argument_key((object(),), {})
