"""The filter language (pure): one string for the command line, selectors and pages.

    status:PENDING task:demand.* (exception:ValueError OR attempts:>3) -queue:"two words" age:<2h text:"refused"

Terms stand side by side and must all hold; ``AND`` may be said. ``OR`` binds less, ``NOT`` (or a minus before the
field) more, brackets decide. ``field:a,b`` is either of them. Numbers and times take ``>``, ``>=``, ``<``, ``<=``
and ranges ``2..5``, whose ends belong to them. ``*`` stands for anything in names. A value with blanks, brackets or
commas stands in double quotes, where a backslash escapes the next character.
"""

from fluxora_tasks.ledger.filters.errors import FilterError
from fluxora_tasks.ledger.filters.grammar import DEAD_LETTERS, FIELDS, Field, Grammar, Reads
from fluxora_tasks.ledger.filters.parser import STORED, TYPED, Bounds, parse
from fluxora_tasks.ledger.filters.times import frozen
from fluxora_tasks.ledger.filters.tree import (
    EVERYTHING,
    And,
    Filter,
    Not,
    Operator,
    Or,
    Term,
    all_of,
    any_of,
    holds,
    mentions,
    terms_of,
)

__all__ = [
    "DEAD_LETTERS",
    "EVERYTHING",
    "FIELDS",
    "STORED",
    "TYPED",
    "And",
    "Bounds",
    "Field",
    "Filter",
    "FilterError",
    "Grammar",
    "Not",
    "Operator",
    "Or",
    "Reads",
    "Term",
    "all_of",
    "any_of",
    "frozen",
    "holds",
    "mentions",
    "parse",
    "terms_of",
]
