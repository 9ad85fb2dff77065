"""Asking the ledger off the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from fluxora_tasks.errors import LedgerUnavailable, UnknownDeadLetter
from fluxora_tasks.interfaces.flower.access import Access
from tests.unit.interfaces.flower.fakes import DEAD_ID, FakeDeadLetters, detail


def _ask(access: Access, question: Any) -> Any:
    return asyncio.run(access.ask(question))


def test_questions_run_in_a_thread_of_their_own() -> None:
    """Never on the loop."""
    access = Access(lambda: FakeDeadLetters())  # type: ignore[arg-type, return-value]
    name = _ask(access, lambda _: threading.current_thread().name)
    access.close()
    assert name.startswith("fluxora-ledger")


def test_a_ledger_that_was_away_is_tried_again() -> None:
    """And opened once only, when it is there."""
    answers: list[Any] = [LedgerUnavailable("away"), FakeDeadLetters(detail())]
    opened = []

    def open_ledger() -> Any:
        answer = answers.pop(0)
        opened.append(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    access = Access(open_ledger)
    with pytest.raises(LedgerUnavailable):
        _ask(access, lambda dead_letters: dead_letters.get(DEAD_ID))
    assert _ask(access, lambda dead_letters: dead_letters.get(DEAD_ID)) == detail()
    with pytest.raises(UnknownDeadLetter):
        _ask(access, lambda dead_letters: dead_letters.get("beef"))
    access.close()
    assert len(opened) == 2


def test_a_ledger_that_hangs_is_given_up() -> None:
    """The page says so within the limit; the thread is left behind."""
    released = threading.Event()
    access = Access(lambda: FakeDeadLetters(), limit=0.05)  # type: ignore[arg-type, return-value]

    async def ask() -> None:
        with pytest.raises(LedgerUnavailable, match=r"no answer within 0\.05 s"):
            await access.ask(lambda _: released.wait(20))

    try:
        asyncio.run(ask())
    finally:
        released.set()
        access.close()
