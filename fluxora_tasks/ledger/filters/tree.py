"""A filter as a tree; ``str`` of it reads back as the same tree (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

_PLAIN: Final = re.compile(r'[^\s()",]+')


class Operator(StrEnum):
    """How a value is compared."""

    IS = ""
    ABOVE = ">"
    FROM = ">="
    BELOW = "<"
    UP_TO = "<="


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        field: Its name in the grammar, with the path behind it where it has one.
        value: As meant: without quotes; a closed list's value, a number, a time in its one spelling.
        is_wild: ``*`` in the value stands for anything.
        operator: Other than ``IS`` for numbers and times only.
    """

    field: str
    value: str
    is_wild: bool = False
    operator: Operator = Operator.IS

    def __str__(self) -> str:
        return f"{self.field}:{self._compared()}"

    def _compared(self) -> str:
        return f"{self.operator}{_quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Not:
    """What must not hold."""

    part: Filter

    def __str__(self) -> str:
        return f"NOT {_bracketed(self.part)}"


@dataclass(frozen=True, slots=True)
class And:
    """All must hold; of no parts, everything."""

    parts: tuple[Filter, ...] = ()

    def __str__(self) -> str:
        return " ".join(_bracketed(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """One must hold."""

    parts: tuple[Filter, ...]

    def __str__(self) -> str:
        return _as_list(self.parts) or " OR ".join(str(part) for part in self.parts)


Filter: TypeAlias = Term | Not | And | Or

EVERYTHING: Final = And()


def all_of(*parts: Filter) -> Filter:
    """Their conjunction, flat."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,)))
    return flat[0] if len(flat) == 1 else And(flat)


def any_of(*parts: Filter) -> Filter:
    """The disjunction of one or more, flat; with everything in it, it is everything."""
    if EVERYTHING in parts:
        return EVERYTHING
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,)))
    return flat[0] if len(flat) == 1 else Or(flat)


def terms_of(node: Filter) -> Iterator[Term]:
    """Every term, from left to right."""
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Not):
        yield from terms_of(node.part)
    else:
        for part in node.parts:
            yield from terms_of(part)


def mentions(node: Filter, field: str) -> bool:
    """Whether a term asks for the field."""
    return any(term.field == field for term in terms_of(node))


def holds(node: Filter, test: Callable[[Term], bool]) -> bool:
    """Whether the filter holds for something, where a test says it of one term."""
    if isinstance(node, Term):
        return test(node)
    if isinstance(node, Not):
        return not holds(node.part, test)
    return (any if isinstance(node, Or) else all)(holds(part, test) for part in node.parts)


def _bracketed(node: Filter) -> str:
    """A part as it stands beside others, or behind NOT."""
    if isinstance(node, (Term, Not)) or (isinstance(node, Or) and _as_list(node.parts)):
        return str(node)
    return f"({node})"


def _as_list(parts: tuple[Filter, ...]) -> str | None:
    """``field:a,b`` where that says it."""
    terms = [part for part in parts if isinstance(part, Term)]
    if len(terms) < len(parts) or len({term.field for term in terms}) != 1:
        return None
    return f"{terms[0].field}:{','.join(term._compared() for term in terms)}"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
