"""Words of a text, and the same phrase looked up in an index or read in the text."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.ledger.words import has_words, phrase_of, words_of


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("connection refused", ["connection", "refused"]),
        ("a.b-c_d:e", ["a", "b", "c", "d", "e"]),
        ("\"'()*&|!<->\\\x00", []),
        ("Ärger, 12", ["Ärger", "12"]),
        ("", []),
    ],
)
def test_words(value: str, words: list[str]) -> None:
    """Signs part words, and nothing of a search's own language is left."""
    assert words_of(value) == words


@pytest.mark.parametrize(
    ("text", "value", "has"),
    [
        ("connection refused by host", "Connection Refused", True),
        ("connection was refused", "connection refused", False),
        ("refused", "refuse", False),
        ("refused", "refuse*", True),
        ("such_key", "key", True),
        ("monkey", "key", False),
        ("ÄRGER", "ärger", True),
    ],
)
def test_phrases(text: str, value: str, has: bool) -> None:
    """Words stand next to each other and are whole."""
    phrase = phrase_of(value)

    assert phrase is not None
    assert has_words(text, phrase) == has


_texts = st.text(st.sampled_from("abAB1 *.,-_'\"äÄßé日本\u2019"), max_size=16)


@given(_texts, _texts)
def test_the_index_finds_the_same(text: str, value: str) -> None:
    """What is read in a text is what SQLite's index of words has."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE w USING fts5(t, tokenize='unicode61 remove_diacritics 0')")
    connection.execute("INSERT INTO w VALUES (?)", (text,))
    phrase, words = phrase_of(value), words_of(value)
    sought = f'"{" ".join(words)}"' + (" *" if value.endswith("*") else "")

    indexed = connection.execute("SELECT count(*) FROM w WHERE w MATCH ?", (sought,)).fetchone()[0] if words else 0

    assert bool(indexed) == (phrase is not None and has_words(text, phrase))
