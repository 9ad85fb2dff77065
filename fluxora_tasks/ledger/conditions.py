"""A filter's tree as a condition on dead letters [sqlalchemy].

``condition_of`` is the meaning: it is true or false of one record, never unknown. ``candidates_of`` only makes it
fast: ids among which every record is that a filter can find, read from an index. ``search`` counts them and lets
them lead where they are few; where they are many, the list itself is walked, newest first.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import product
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Cast,
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from fluxora_tasks.ledger.filters import And, Filter, Not, Operator, Or, Term, mentions
from fluxora_tasks.ledger.filters.values import moment, number
from fluxora_tasks.ledger.models import DeadLetterRow, DeadLetterViewRow, OperationItemRow, ReplayItemRow
from fluxora_tasks.ledger.models.dead_letters import CUT
from fluxora_tasks.ledger.rows import MESSAGE_LENGTH, NAME_LENGTH, storable
from fluxora_tasks.ledger.words import phrase_of, words_of

_row, _view, _item = DeadLetterRow, DeadLetterViewRow, OperationItemRow

#: SQLite's index of words; PostgreSQL's is a column of dead_letter_views.
_words: Final = table("dead_letter_words", column("rowid"), column("dead_letter_words"))
_LEXEMES: Final = "dead_letter_views.words"
_lexemes: Final[ColumnElement[Any]] = literal_column(_LEXEMES)

#: Longest word that PostgreSQL keeps as one, in bytes.
_LONGEST_WORD: Final = 2000


_COMPARED: Final[dict[Operator, Callable[[Any, Any], Any]]] = {
    Operator.IS: operator.eq,
    Operator.ABOVE: operator.gt,
    Operator.FROM: operator.ge,
    Operator.BELOW: operator.lt,
    Operator.UP_TO: operator.le,
}
_NAMES: Final[dict[str, Any]] = {
    "status": _row.status,
    "kind": _row.kind,
    "task": _row.task,
    "queue": _row.queue,
    "group": _row.group_id,
    "message_id": _row.message_id,
    "task_id": _row.task_id,
    "host": _row.worker,
    "release": _row.release,
}
_NUMBERS: Final[dict[str, Any]] = {
    "attempts": _row.attempts,
    "failures": _row.failures,
    "replays": _row.replays,
    "size": _row.size,
}

#: Fields whose values have an index of their own, in which there is no order by time.
_INDEXED: Final = frozenset({"attempts", "size", "id", "message_id", "task_id"})

#: Fields whose index leaves out what nearly every record has: up to so much.
_RARE: Final = {"failures": 1, "replays": 0}


class matches(FunctionElement[bool]):
    """Column against a pattern of ``*``, case kept: GLOB on SQLite (its LIKE ignores case), else LIKE."""

    inherit_cache = True
    name = "matches"


@compiles(matches, "sqlite")
def _glob(element: Any, compiler: Any, **options: Any) -> str:
    left, pattern = element.clauses
    return f"{compiler.process(left, **options)} GLOB {compiler.process(pattern, **options)}"


@compiles(matches)
def _like(element: Any, compiler: Any, **options: Any) -> str:
    left, pattern = element.clauses
    return f"{compiler.process(left, **options)} LIKE {compiler.process(pattern, **options)}"


class unled(FunctionElement[Any]):
    """A column whose index must not decide the order in which rows are read: SQLite would sort half a table."""

    inherit_cache = True
    name = "unled"

    def __init__(self, of: Any) -> None:
        super().__init__(of)
        self.type = of.type


@compiles(unled, "sqlite")
def _plus(element: Any, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(unled)
def _bare(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


def condition_of(node: Filter, dialect: str) -> ColumnElement[bool]:
    """What is true of the records that a filter finds; ages have been turned into times. No index leads it."""
    if isinstance(node, Term):
        return _term(node, dialect, unled)
    if isinstance(node, Not):
        return ~condition_of(node.part, dialect)
    if isinstance(node, Or):
        return or_(*(condition_of(part, dialect) for part in node.parts))
    return and_(true(), *_all(node, dialect))


#: Selects of ids; all of them together are the candidates.
Candidates: TypeAlias = list[Select[Any]]


def candidates_of(node: Filter, dialect: str) -> list[Candidates]:
    """Ways to read, from an index, ids of which all that the filter finds are some; any one of them will do."""
    if isinstance(node, Term):
        found = _candidates(node, dialect)
        return [found] if found else []
    if isinstance(node, And):
        return [found for part in node.parts for found in candidates_of(part, dialect)]
    if isinstance(node, Or):
        each = [candidates_of(part, dialect) for part in node.parts]
        return [[one for found in each for one in found[0]]] if all(each) else []
    return []


def are_words(candidates: Select[Any]) -> bool:
    """Whether they come from PostgreSQL's index of words, which is read to the end before the first is known."""
    return _LEXEMES in str(candidates)


def indexed(term: Term, dialect: str) -> ColumnElement[bool]:
    """The condition of a term, led by the index of its column."""
    return _term(term, dialect, _itself)


def _itself(of: Any) -> Any:
    return of


def begins(dialect: str, of: Any, start: str) -> ColumnElement[bool]:
    """Whether a column begins with a text."""
    return _fits(dialect, of, [start, ""])


def _all(node: And, dialect: str) -> list[ColumnElement[bool]]:
    """The parts; those about an outcome hold for one and the same item of the operation beside them."""
    operations = [part for part in node.parts if isinstance(part, Term) and part.field == "op"]
    about = [part for part in node.parts if mentions(part, "outcome")]
    if len(operations) != 1 or not about:
        return [condition_of(part, dialect) for part in node.parts]
    of_item = [condition_of(part, dialect) for part in about]
    rest = [part for part in node.parts if part not in about and part is not operations[0]]
    return [_in_operation(operations[0].value, *of_item), *(condition_of(part, dialect) for part in rest)]


def _in_operation(operation: str, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    of_record = (_item.dead_letter_id == _row.id, _item.operation_id == storable(operation, NAME_LENGTH))
    return exists().where(*of_record, *more).correlate(_row)


def _term(term: Term, dialect: str, led: Callable[[Any], Any]) -> ColumnElement[bool]:
    name, _, path = term.field.partition(".")
    value = storable(term.value, MESSAGE_LENGTH)
    pieces = value.split("*") if term.is_wild else [value]
    if name in _NAMES:
        return _name(name, pieces, dialect, led)
    if name in _NUMBERS:
        return _COMPARED[term.operator](led(_NUMBERS[name]), literal(number(term.value), BigInteger))  # type: ignore[no-any-return]
    if name == "first_failed":
        return _first_failed(term.operator, moment(term.value))
    if name == "failed":
        return _COMPARED[term.operator](_row.last_failed_at, moment(term.value))  # type: ignore[no-any-return]
    if name in ("body", "header"):
        inside = _inside(["headers", path] if name == "header" else path.split("."), dialect)
        return exists().where(_view.dead_letter_id == _row.id, _fits(dialect, inside, pieces)).correlate(_row)
    if name == "exception":
        return _exception(pieces, dialect, led)
    if name == "id":
        return begins(dialect, led(_row.id), value)
    return _SPECIAL[name](value, dialect)


def _first_failed(sign: Operator, value: datetime) -> ColumnElement[bool]:
    """What began after a time failed last after it, too, and for that there is an index."""
    compared = _COMPARED[sign](_row.first_failed_at, value)
    if sign in (Operator.IS, Operator.ABOVE, Operator.FROM):
        return and_(_row.last_failed_at >= value, compared)
    return compared  # type: ignore[no-any-return]


def _name(name: str, pieces: Sequence[str], dialect: str, led: Callable[[Any], Any]) -> ColumnElement[bool]:
    fits = _fits(dialect, led(_NAMES[name]), pieces)
    if name == "group":
        return and_(_row.group_id.is_not(None), fits)
    # without an empty value its index, which has no empty ones, is of use
    return and_(text("dead_letters.release <> ''"), fits) if name == "release" and pieces != [""] else fits


def _exception(pieces: Sequence[str], dialect: str, led: Callable[[Any], Any]) -> ColumnElement[bool]:
    """A qualified name, or the name alone: ``ValueError`` means that of any module."""
    whole, name = _row.exception_type, led(_row.exception_name)
    is_qualified = any("." in piece for piece in pieces)
    if len(pieces) > 1:
        fits = _fits(dialect, whole, pieces)
        return fits if is_qualified else or_(fits, _fits(dialect, name, pieces))
    # the name has an index
    short: ColumnElement[bool] = name == pieces[0].rpartition(".")[2]
    return and_(short, whole == pieces[0]) if is_qualified else short


def _conflict(value: str, _dialect: str) -> ColumnElement[bool]:
    """Word for word the condition of its index."""
    return and_(text("dead_letters.conflict" if value == "true" else "NOT dead_letters.conflict"))


def _unconfirmed(value: str, _dialect: str) -> ColumnElement[bool]:
    of_record = exists().where(ReplayItemRow.dead_letter_id == _row.id, *_UNHEARD).correlate(_row)
    return of_record if value == "true" else ~of_record


_UNHEARD: Final = (
    ReplayItemRow.active,
    text("replay_items.state = 'issued'"),
    ReplayItemRow.unconfirmed_at.is_not(None),
)


def _operation(value: str, _dialect: str) -> ColumnElement[bool]:
    return _in_operation(value)


def _outcome(value: str, _dialect: str) -> ColumnElement[bool]:
    """Of the item that the condition stands in."""
    return _item.outcome == value


def _text(value: str, dialect: str) -> ColumnElement[bool]:
    """On SQLite the text itself is read: its index would look the whole phrase up again for each record."""
    found = _found(value, dialect)
    if found is None:
        return false()
    if dialect == "sqlite":
        phrase = phrase_of(value)
        found = [func.has_words(_view.search_text, phrase)] if phrase else [false()]
    return exists().where(_view.dead_letter_id == _row.id, *found).correlate(_row)


_SPECIAL: Final[dict[str, Callable[[str, str], ColumnElement[bool]]]] = {
    "conflict": _conflict,
    "unconfirmed": _unconfirmed,
    "op": _operation,
    "outcome": _outcome,
    "text": _text,
}


# --------------------------------------------------------------------------------------------- candidates


def _candidates(term: Term, dialect: str) -> Candidates:
    name = term.field.partition(".")[0]
    if name in _INDEXED or (name in _NAMES and term.is_wild) or term == Term("conflict", "true"):
        return [select(_row.id).where(indexed(term, dialect))]
    if name in _RARE and term.operator in (Operator.IS, Operator.ABOVE, Operator.FROM):
        least = number(term.value) + (term.operator is Operator.ABOVE)
        is_rare = text(f"dead_letters.{name} > {_RARE[name]}")
        return [select(_row.id).where(indexed(term, dialect), is_rare)] if least > _RARE[name] else []
    if name == "op":
        return [select(_item.dead_letter_id).where(_item.operation_id == storable(term.value, NAME_LENGTH))]
    if term == Term("unconfirmed", "true"):
        return [select(ReplayItemRow.dead_letter_id).where(*_UNHEARD)]
    if name == "text":
        return [_with_words(term.value, dialect)]
    if name in ("body", "header") and _is_among_the_words(term):
        return [_with_words(term.value, dialect), select(_view.dead_letter_id).where(text(CUT[dialect]))]
    return []


def _with_words(value: str, dialect: str) -> Select[Any]:
    found = _found(storable(value, MESSAGE_LENGTH), dialect)
    return select(_view.dead_letter_id).where(false() if found is None else and_(*found))


def _is_among_the_words(term: Term) -> bool:
    """Whether a value that is one of a record's arguments or headers is among its words, if those are not cut."""
    is_scalar = not term.value.startswith(("{", "[")) and term.value not in ("true", "false")
    return is_scalar and not term.is_wild and phrase_of(term.value) is not None and _is_kept(term.value)


def _is_kept(value: str) -> bool:
    """Whether an index of words keeps every word of it."""
    return max(len(word.encode("utf-8", "replace")) for word in words_of(value)) <= _LONGEST_WORD


# -------------------------------------------------------------------------------------------------- words


def _found(value: str, dialect: str) -> list[ColumnElement[bool]] | None:
    """Whether the words of a view have these next to each other; ``None`` where there are no words."""
    words = words_of(value)
    if not words or max(len(word.encode()) for word in words) > _LONGEST_WORD:
        return None
    is_begun = value.endswith("*")
    if dialect == "sqlite":
        phrase = f'"{" ".join(words)}"' + (" *" if is_begun else "")
        return [_view.seq == _words.c.rowid, _words.c.dead_letter_words.op("MATCH")(phrase)]
    lexemes = " <-> ".join(f"'{word}'" for word in words) + (":*" if is_begun else "")
    return [_lexemes.op("@@")(func.to_tsquery(text("'simple'"), lexemes))]


# -------------------------------------------------------------------------------------------------- views


def _inside(path: Sequence[str], dialect: str) -> ColumnElement[Any]:
    """What stands at a path of a view, as text; a part of digits is a place in a list or a name."""
    if dialect != "sqlite":
        return cast(_view.view, JSON).op("#>>")(_path(path))
    steps = [(f"[{part}]", f'."{part}"') if part.isdigit() else (f'."{part}"',) for part in path]
    spelled = ["$" + "".join(way) for way in product(*steps)]
    found = [_scalar(way) for way in spelled]
    return found[0] if len(found) == 1 else func.coalesce(*found)


def _path(path: Sequence[str]) -> Cast[Any]:
    return cast(list(path), ARRAY(Text))


def _scalar(path: str) -> ColumnElement[Any]:
    """SQLite would make 1 of true, and cut the digits of numbers: only a text is taken from its quotes."""
    kind = func.json_type(_view.view, path)
    return case(
        (kind == text("'text'"), func.json_extract(_view.view, path)),
        (kind != text("'null'"), _view.view.op("->")(literal(path))),
    )


def _fits(dialect: str, of: Any, pieces: Sequence[str]) -> ColumnElement[bool]:
    """Whether a column is these literal pieces with anything between them."""
    if len(pieces) == 1:
        return of == pieces[0]  # type: ignore[no-any-return]
    if dialect == "sqlite":
        return matches(of, "*".join(re.sub(r"([*?[])", r"[\1]", piece) for piece in pieces))
    return matches(of, "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in pieces))
