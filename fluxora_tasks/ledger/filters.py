"""The filter language, version 1 (pure): ``field:value`` terms that must all hold.

    status:PENDING task:demand.* exception:ValueError queue:"two words"

A value with blanks or brackets stands in double quotes (a backslash escapes the next character). ``*`` stands
for anything in names (tasks, queues, exceptions, circuits). AND between terms is allowed and means what it already
means; OR, NOT and brackets are reserved for a later version.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.standing import Status

_RESERVED: Final = frozenset({"OR", "NOT", "(", ")"})

_TOKEN: Final = re.compile(
    r"""\s*(?: (?P<bracket>[()])
             | (?P<field>[A-Za-z_][\w.]*) : (?: "(?P<quoted>(?:[^"\\]|\\.)*)" (?=[\s()]|$) | (?P<plain>[^\s()"]+) )
             | (?P<word>\S+) )""",
    re.VERBOSE | re.DOTALL,
)


class FilterError(ConfigurationError):
    """A filter that cannot be understood.

    Args:
        message: What is wrong.
        position: Character of the filter it starts at, from 1.
    """

    code = "filter"

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)
        self.position = position

    def __str__(self) -> str:
        return f"filter, character {self.position}: {self.args[0]}"


@dataclass(frozen=True, slots=True)
class Grammar:
    """What may be asked for.

    Attributes:
        fields: Their names.
        choices: Field -> its closed list of values.
        wild: Fields in whose values ``*`` stands for anything.
    """

    fields: tuple[str, ...]
    choices: Mapping[str, Collection[str]]
    wild: frozenset[str]


DEAD_LETTERS: Final = Grammar(
    ("status", "kind", "task", "queue", "exception", "id"),
    {"status": {status.value for status in Status}, "kind": {kind.value for kind in Kind}},
    frozenset({"task", "queue", "exception"}),
)

#: Fields of a filter over dead letters.
FIELDS: Final = DEAD_LETTERS.fields


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        field: One of the grammar's.
        value: As meant: without quotes; a closed list's value in its own spelling.
        is_wild: ``*`` in the value stands for anything.
    """

    field: str
    value: str
    is_wild: bool = False


def parse(text: str, grammar: Grammar = DEAD_LETTERS) -> tuple[Term, ...]:
    """
    The terms of a filter; an empty one has none and matches everything.

    Raises:
        FilterError: with the position, and the nearest known name where there is one.
    """
    return tuple(_terms(text, grammar))


def _terms(text: str, grammar: Grammar) -> Iterator[Term]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None
        position = match.end()
        if match["field"] is not None:
            yield _term(match, grammar)
        else:
            _refuse(match, grammar.fields)


def _term(match: re.Match[str], grammar: Grammar) -> Term:
    field, place = match["field"].lower(), match.start("field") + 1
    if field not in grammar.fields:
        raise FilterError(_unknown("field", match["field"], grammar.fields), place)
    quoted = match["quoted"]
    value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    if not value:
        raise FilterError(f"{field}: needs a value", place)
    value = _chosen(field, value, grammar.choices.get(field), match.start("field") + len(field) + 2)
    return Term(field, value, is_wild=field in grammar.wild and "*" in value)


def _chosen(field: str, value: str, choices: Collection[str] | None, place: int) -> str:
    """The value in the spelling of its closed list, where it has one."""
    if choices is None:
        return value
    known = {choice.lower(): choice for choice in choices}
    if value.lower() not in known:
        raise FilterError(_unknown(field, value, sorted(choices)), place)
    return known[value.lower()]


def _refuse(match: re.Match[str], fields: tuple[str, ...]) -> None:
    token = match["bracket"] or match["word"]
    place = match.start("bracket") + 1 if match["bracket"] else match.start("word") + 1
    if token.upper() == "AND":
        return
    if token.upper() in _RESERVED:
        raise FilterError(f"{token} is not part of the filter language yet; terms are joined by AND", place)
    field, colon, _ = token.partition(":")
    if colon and field.lower() in fields:
        raise FilterError(f"{field}: needs a value, in one pair of quotes if it has blanks", place)
    raise FilterError(f"expected field:value, got {token!r}; fields are {', '.join(fields)}", place)


def _unknown(what: str, name: str, known: tuple[str, ...] | list[str]) -> str:
    lowered = {choice.lower(): choice for choice in known}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    hint = f"did you mean {lowered[near[0]]}?" if near else f"known: {', '.join(known)}"
    return f"unknown {what} {name!r}; {hint}"
