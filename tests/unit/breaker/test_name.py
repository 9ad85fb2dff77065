"""What a circuit may be called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.breaker.name import LONGEST, checked_name
from fluxora_tasks.errors import ConfigurationError


@pytest.mark.parametrize("name", ["a", "api.example.com:443", "Zahlung ü", "a" * LONGEST, " ", "a:b/c*d?[e]", "😀"])
def test_fit(name: str) -> None:
    """Any text that is no danger to keys and terminals."""
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "1 to 200 characters; got ''"),
        ("a" * (LONGEST + 1), "1 to 200 characters; got 'aaa"),
        (None, "got None"),  # what a task's function of its arguments may return
        (b"a", "got b'a'"),
        ("a{b", "no braces"),  # the hash tag of a cluster
        ("a}b", "no braces"),
        ("a\nb", "no control characters; got 'a\\\\nb'"),
        ("a\x00", "no control characters"),
        ("a\x7f", "no control characters"),
        ("a\x9b31m", "no control characters"),  # begins a terminal's command
        ("a\ud800", "no control characters"),  # has no encoding
    ],
)
def test_unfit(name: object, words: str) -> None:
    """The message says what a name is, and shows this one."""
    with pytest.raises(ConfigurationError, match=words):
        checked_name(name)  # type: ignore[arg-type]


@given(st.text())
def test_a_message_is_short_and_fit_for_a_terminal(name: str) -> None:
    """Whatever somebody calls a circuit."""
    said = answer(name)
    assert said == name or (len(said) < 150 and said.isprintable())


def answer(name: str) -> str:
    try:
        return checked_name(name)
    except ConfigurationError as error:
        return str(error)
