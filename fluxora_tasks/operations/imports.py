"""What an operator does with messages that could not become records: list them, try again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fluxora_tasks.deadletter.envelope import DeadLetter, Note, Payload
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.parking import Reader
from fluxora_tasks.ledger.records import FailedImport
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.acting import MOST_ROWS, check_limit
from fluxora_tasks.operations.records import ActionResult


@dataclass(frozen=True, slots=True)
class ImportPage:
    """One page of parked messages.

    Attributes:
        items: Oldest first.
        total: How often such a message came, in all.
        next: Cursor of the next page, ``None`` on the last.
    """

    items: Sequence[FailedImport]
    total: int
    next: str | None


class Imports:
    """
    Messages that could not become records. Safe for threads, and beside recorders at work.

    Args:
        ledger: Where they are parked.
        reader: Of raw messages.
        on_recorded: Told the message ids of those that became records.
    """

    def __init__(
        self,
        ledger: Ledger,
        reader: Reader,
        on_recorded: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        self._ledger, self._reader, self._on_recorded = ledger, reader, on_recorded

    def list(self, *, limit: int = 50, cursor: str | None = None) -> ImportPage:
        """One page, oldest first.

        Raises:
            ConfigurationError: the limit or the cursor cannot be understood.
        """
        check_limit(limit)
        found = self._ledger.failed_imports(after=_number(cursor or "0"), limit=limit + 1)
        following = str(found[limit - 1].seq) if len(found) > limit else None
        return ImportPage(found[:limit], self._ledger.failed_import_count(), following)

    def retry(self, numbers: Sequence[str]) -> Sequence[ActionResult]:
        """Try to make records of parked messages, by number; of all of them where none is given.

        Raises:
            ConfigurationError: a number is none.
            LedgerUnavailable: nothing more was done.
        """
        wanted = list(dict.fromkeys(map(_number, numbers))) or self._all()
        return [self._retry(seq) for seq in wanted]

    def _all(self) -> Sequence[int]:
        numbers = [0]
        while found := self._ledger.failed_imports(after=numbers[-1], limit=MOST_ROWS):
            numbers += [one.seq for one in found]
        return numbers[1:]

    def _retry(self, seq: int) -> ActionResult:
        heard = _Hearing(self._reader)
        error = self._ledger.try_import(seq, heard)
        if error is not None:
            return ActionResult(str(seq), "refused", None, error)
        if self._on_recorded is not None and heard.message_ids:
            self._on_recorded(heard.message_ids)
        return ActionResult(str(seq), "done", None, "became a record")


class _Hearing:
    """A reader that remembers which messages it read of."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.reason = reader.reason
        self.message_ids: list[str] = []

    def read(self, payload: Payload) -> Note:
        note = self._reader.read(payload)
        if isinstance(note, DeadLetter):
            self.message_ids.append(note.message_id)
        return note


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ConfigurationError(f"not the number of a parked message: {text[:80]!r}; see: fluxora imports list")
    return int(text)
