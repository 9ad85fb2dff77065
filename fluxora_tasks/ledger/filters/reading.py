"""One ``field:value`` into terms (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from fluxora_tasks.ledger.filters import values
from fluxora_tasks.ledger.filters.errors import FilterError, unknown
from fluxora_tasks.ledger.filters.grammar import Field, Grammar, Reads
from fluxora_tasks.ledger.filters.tree import Filter, Operator, Term, all_of, any_of

_OPERATOR: Final = re.compile(r"[<>]=?|")

_Value = TypeVar("_Value", int, datetime)

#: Parts of a path, and numbers among them, at most.
_LONGEST_PATH: Final = 8
_MOST_PLACES: Final = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed.

    Attributes:
        field: Name before the colon.
        items: Values behind it, each with its quotes and sign.
        place: First character of the field, from 1.
    """

    field: str
    items: str
    place: int


def read_term(asked: Asked, grammar: Grammar) -> Filter:
    """The term, or several that say the same.

    Raises:
        FilterError: with the position.
    """
    field, name = _field(asked, grammar)
    read = _READERS.get(field.reads)
    start = asked.place + len(asked.field) + 1
    parts = []
    for item, offset in _items(asked.items):
        if item in ("", '""'):
            raise FilterError(f"{asked.field}: needs a value", asked.place)
        try:
            parts.append(read(name, item) if read else _text(name, field, item))
        except ValueError as exc:
            raise FilterError(f"{asked.field}: {exc}" if read else str(exc), start + offset) from exc
    return any_of(*parts)


def _field(asked: Asked, grammar: Grammar) -> tuple[Field, str]:
    """The field, and the name of the term: with its path behind it."""
    first, dot, path = asked.field.partition(".")
    field = grammar.field(first)
    if field is None or bool(dot) > bool(field.path):
        raise FilterError(unknown("field", asked.field, grammar.names()), asked.place)
    if not field.path:
        return field, field.name
    if not path or "" in path.split("."):
        raise FilterError(f"{first} needs a {field.path}: {field.shown}", asked.place)
    return field, f"{field.name}.{_argument(path, asked.place) if field.name == 'body' else path}"


def _argument(path: str, place: int) -> str:
    """A path into the arguments; a name that is neither args nor kwargs is that of an argument."""
    parts = path.split(".")
    if parts[0] not in ("args", "kwargs"):
        parts = ["kwargs", *parts]
    if len(parts) == 1:
        raise FilterError(f"body.{path} needs a part behind it, such as body.args.0 or body.kwargs.name", place)
    if len(parts) > _LONGEST_PATH or sum(part.isdigit() for part in parts) > _MOST_PLACES:
        raise FilterError(f"a path has at most {_LONGEST_PATH} parts and {_MOST_PLACES} numbers in it", place)
    return ".".join(parts)


def _items(text: str) -> Iterator[tuple[str, int]]:
    """The items of a list, and where each begins."""
    for match in re.finditer(r'(?:"(?:[^"\\]|\\.)*"|[^",])+', text, re.DOTALL):
        yield match[0], match.start()


def _unquoted(item: str) -> str:
    return re.sub(r"\\(.)", r"\1", item[1:-1], flags=re.DOTALL) if item.startswith('"') else item


def _text(name: str, field: Field, item: str) -> Term:
    value = _unquoted(item)
    if field.reads is Reads.CHOICE:
        value = _chosen(field, value)
    return Term(name, value, is_wild=field.reads is Reads.NAME and "*" in value)


def _chosen(field: Field, value: str) -> str:
    """The value in the spelling of its closed list."""
    known = {choice.lower(): str(choice) for choice in field.choices}
    if value.lower() not in known:
        raise ValueError(unknown(field.name, value, sorted(field.choices)))
    return known[value.lower()]


def _number(name: str, item: str) -> Filter:
    sign, value = _signed(item)
    low, dots, high = value.partition("..")
    if sign or not dots:
        return Term(name, str(values.number(value)), operator=sign)
    return _range(name, low, high, values.number, str)


def _age(name: str, item: str) -> Filter:
    sign, value = _signed(item)
    low, dots, high = value.partition("..")
    if sign is Operator.IS and not dots:
        raise ValueError(f"needs a comparison, such as {name}:>1h or {name}:1h..2d")
    if sign:
        return Term(name, _seconds(values.duration(value)), operator=sign)
    return _range(name, low, high, values.duration, _seconds)


def _seconds(value: int) -> str:
    return f"{value}s"


def _time(name: str, item: str) -> Filter:
    sign, value = _signed(item)
    low, dots, high = value.partition("..")
    if dots and not sign:
        return _range(name, low, high, values.moment, values.spelled, last=_until)
    start = values.moment(value)
    if not values.is_day(value):
        return Term(name, values.spelled(start), operator=sign)
    return _day(name, sign, start, values.day_after(value))


def _day(name: str, sign: Operator, start: datetime, end: datetime) -> Filter:
    """A day is all of it: above it is after its end."""
    first, after = values.spelled(start), values.spelled(end)
    if sign is Operator.IS:
        return all_of(Term(name, first, operator=Operator.FROM), Term(name, after, operator=Operator.BELOW))
    if sign in (Operator.FROM, Operator.BELOW):
        return Term(name, first, operator=sign)
    return Term(name, after, operator=Operator.FROM if sign is Operator.ABOVE else Operator.BELOW)


def _until(name: str, text: str) -> Term:
    """Up to a moment, or to the end of a day."""
    if values.is_day(text):
        return Term(name, values.spelled(values.day_after(text)), operator=Operator.BELOW)
    return Term(name, values.spelled(values.moment(text)), operator=Operator.UP_TO)


def _range(
    name: str,
    low: str,
    high: str,
    read: Callable[[str], _Value],
    spell: Callable[[_Value], str],
    last: Callable[[str, str], Term] | None = None,
) -> Filter:
    """Both ends belong to a range; one may be left out."""
    if not low and not high:
        raise ValueError("a range needs an end")
    if low and high and read(high) < read(low):
        raise ValueError("the range ends before it begins")
    parts: list[Filter] = [Term(name, spell(read(low)), operator=Operator.FROM)] if low else []
    if high:
        parts.append(last(name, high) if last else Term(name, spell(read(high)), operator=Operator.UP_TO))
    return all_of(*parts)


def _signed(item: str) -> tuple[Operator, str]:
    match = _OPERATOR.match(item)
    sign = match[0] if match else ""
    return Operator(sign), _unquoted(item[len(sign) :])


_READERS: Final[dict[Reads, Callable[[str, str], Filter]]] = {
    Reads.NUMBER: _number,
    Reads.TIME: _time,
    Reads.AGE: _age,
}
