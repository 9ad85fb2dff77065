"""Text of a filter into its tree (pure): NOT binds more than AND, AND more than OR."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fluxora_tasks.ledger.filters.errors import FilterError
from fluxora_tasks.ledger.filters.grammar import DEAD_LETTERS, Grammar
from fluxora_tasks.ledger.filters.reading import Asked, read_term
from fluxora_tasks.ledger.filters.tree import EVERYTHING, And, Filter, Not, Or, Term, all_of, any_of, terms_of


@dataclass(frozen=True, slots=True)
class Bounds:
    """Characters of a filter, terms in it, brackets and NOTs within each other, at most."""

    characters: int
    terms: int
    levels: int


#: What a person types; and what the program wrote down itself, which is longer: ages as times, ranges as two terms.
TYPED: Final = Bounds(4000, 100, 20)
STORED: Final = Bounds(20_000, 100, 64)

_ITEM: Final = r"""(?: [<>]=? )? (?: "(?:[^"\\]|\\.)*" | [^\s()",]+ ) """
_TOKEN: Final = re.compile(
    rf"""\s*(?: (?P<bracket>[()])
              | (?P<minus>-?) (?P<field>[A-Za-z_][A-Za-z0-9_.-]*) : (?P<items>{_ITEM} (?: , {_ITEM} )*) (?=[\s()]|$)
              | (?P<word>[^\s()]+) )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind``: ``(``, ``)``, AND, OR, NOT, ``term`` or ``end``; ``place``: its first character, from 1."""

    kind: str
    place: int
    part: Filter = EVERYTHING


def parse(text: str, grammar: Grammar = DEAD_LETTERS, *, bounds: Bounds = TYPED) -> Filter:
    """
    The tree of a filter; an empty one is ``EVERYTHING``.

    Raises:
        FilterError: with the position, and the nearest known name where there is one.
    """
    if len(text) > bounds.characters:
        raise FilterError(f"it is longer than {bounds.characters:,} characters", bounds.characters)
    tokens = list(_tokens(text, grammar, bounds.terms))
    tree = _Parser(tokens, bounds.levels).whole()
    _refuse_stray_outcome(tree, tokens)
    return tree


def _tokens(text: str, grammar: Grammar, most: int) -> Iterator[_Token]:
    position, end, count = 0, len(text.rstrip()), 0
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None
        position = match.end()
        token = _token(match, grammar)
        count += sum(1 for _ in terms_of(token.part))
        if count > most:
            raise FilterError(f"it has more than {most} terms", token.place)
        yield token
    yield _Token("end", end)


def _token(match: re.Match[str], grammar: Grammar) -> _Token:
    place = match.start(match.lastgroup or 0) + 1
    if match["bracket"]:
        return _Token(match["bracket"], place)
    if match["field"]:
        place = match.start("field") + 1
        part = read_term(Asked(match["field"], match["items"], place), grammar)
        return _Token("term", place, Not(part) if match["minus"] else part)
    word = match["word"]
    if word.upper() in ("AND", "OR", "NOT"):
        return _Token(word.upper(), place)
    name, colon, _ = word.removeprefix("-").partition(":")
    if colon and grammar.field(name.partition(".")[0]):
        raise FilterError(f"{name}: needs a value, in one pair of quotes if it has blanks", place)
    raise FilterError(f"expected field:value, got {word[:80]!r}; fields are {', '.join(grammar.shown)}", place)


class _Parser:
    """Recursive descent; as deep as brackets and NOTs are allowed to be."""

    def __init__(self, tokens: list[_Token], levels: int) -> None:
        self._tokens, self._levels, self._next = tokens, levels, 0

    def whole(self) -> Filter:
        """Everything up to the end."""
        if self._peek().kind == "end":
            return EVERYTHING
        tree = self._either(0)
        if self._peek().kind != "end":
            raise FilterError("there is no bracket that this one closes", self._peek().place)
        return tree

    def _either(self, depth: int) -> Filter:
        parts = [self._all(depth)]
        while self._peek().kind == "OR":
            self._take()
            parts.append(self._all(depth))
        return any_of(*parts)

    def _all(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while self._peek().kind in ("AND", "NOT", "(", "term"):
            if self._peek().kind == "AND":
                self._take()
            parts.append(self._one(depth))
        return all_of(*parts)

    def _one(self, depth: int) -> Filter:
        token = self._peek()
        if token.kind not in ("NOT", "(", "term"):
            raise self._misplaced(token)
        if depth == self._levels and not isinstance(token.part, Term):
            raise FilterError(f"more than {self._levels} brackets and NOTs within each other", token.place)
        self._take()
        if token.kind == "term":
            return token.part
        return Not(self._one(depth + 1)) if token.kind == "NOT" else self._bracket(token, depth + 1)

    def _bracket(self, opening: _Token, depth: int) -> Filter:
        tree = self._either(depth)
        if self._peek().kind != ")":
            raise FilterError("nothing closes this bracket", opening.place)
        self._take()
        return tree

    def _misplaced(self, token: _Token) -> FilterError:
        if token.kind == "end" and self._next:
            before = self._tokens[self._next - 1]
            return FilterError(f"expected field:value after {before.kind}", before.place)
        return FilterError(f"expected field:value, got {token.kind}", token.place)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]


def _refuse_stray_outcome(tree: Filter, tokens: list[_Token]) -> None:
    """An outcome is that of an item of one bulk operation, which has to be named beside it."""
    stray = next(_stray(tree, False), None)
    if stray is not None:
        place = next(token.place for token in tokens if any(term is stray for term in terms_of(token.part)))
        raise FilterError("outcome is that of one bulk operation: write op:<id> beside it", place)


def _stray(node: Filter, has_operation: bool) -> Iterator[Term]:
    if isinstance(node, Term):
        if node.field == "outcome" and not has_operation:
            yield node
    elif isinstance(node, Not):
        yield from _stray(node.part, has_operation)
    else:
        for part in node.parts:
            yield from _stray(part, has_operation if isinstance(node, Or) else _operations(node, has_operation))


def _operations(node: And, has_operation: bool) -> bool:
    """Whether it is clear which operation is meant within it."""
    named = sum(isinstance(part, Term) and part.field == "op" for part in node.parts)
    return named == 1 or (has_operation and named == 0)
