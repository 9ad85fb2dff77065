"""Words of a text, as text search takes them (pure): letters and digits; everything else parts them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: Everything in it parts words; whatever else a language calls a letter does not.
_BLANKS: Final = dict.fromkeys([*range(0x21), *b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 0x7F], " ")


def spaced(value: str) -> str:
    """A text whose words stand between blanks: so PostgreSQL need not look for signs, which costs it 40 us each."""
    return value.translate(_BLANKS)


def words_of(value: str) -> list[str]:
    """The words of a text between signs of ASCII, free of anything that means something to a language of search."""
    return [word for word in spaced(value).split(" ") if word]


def phrase_of(value: str) -> str | None:
    """The expression that finds the words of a text next to each other; a star at its end lets the last go on.

    ``None`` where there are no words.
    """
    words = [re.escape(word) for word in re.split(r"[\W_]+", value) if word]
    if not words:
        return None
    return r"(?<![^\W_])" + r"[\W_]+".join(words) + ("" if value.endswith("*") else r"(?![^\W_])")


def has_words(text: str, phrase: str) -> bool:
    """Whether a text has a phrase, as the index of words has it; a function of SQLite's, see ``database``."""
    return _expression(phrase).search(text) is not None


@lru_cache(maxsize=100)
def _expression(phrase: str) -> re.Pattern[str]:
    return re.compile(phrase, re.IGNORECASE)
