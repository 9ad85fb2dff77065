"""Ages as times (pure)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from fluxora_tasks.ledger.filters.tree import Filter, Not, Operator, Term
from fluxora_tasks.ledger.filters.values import duration, spelled

_TURNED: Final = {
    Operator.ABOVE: Operator.BELOW,
    Operator.FROM: Operator.UP_TO,
    Operator.BELOW: Operator.ABOVE,
    Operator.UP_TO: Operator.FROM,
}


def frozen(node: Filter, now: datetime) -> Filter:
    """The filter with every age turned into a time of failure, so that it means the same tomorrow."""
    if isinstance(node, Term):
        return _frozen_term(node, now) if node.field == "age" else node
    if isinstance(node, Not):
        return Not(frozen(node.part, now))
    return type(node)(tuple(frozen(part, now) for part in node.parts))


def _frozen_term(term: Term, now: datetime) -> Term:
    then = now - timedelta(seconds=duration(term.value))
    return Term("failed", spelled(then), operator=_TURNED[term.operator])
