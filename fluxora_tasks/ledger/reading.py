"""What a raw message of the dead-letter queue says: one of our notes, or a dead letter of the broker's own."""

from __future__ import annotations

import logging
from dataclasses import replace

from fluxora_tasks.clock import Clock, SystemClock
from fluxora_tasks.deadletter.envelope import CONTENT_TYPES, DeadLetter, Note, Payload, decode
from fluxora_tasks.deadletter.grouping import BUILT_IN, Grouping, fingerprint_of_letter
from fluxora_tasks.deadletter.redaction import USUAL, Redaction
from fluxora_tasks.deadletter.view import with_view
from fluxora_tasks.ledger import parking
from fluxora_tasks.ledger.native import broker_dead_letter

logger = logging.getLogger(__name__)


class NoteReader:
    """
    Reads raw messages.

    Args:
        grouping: For dead letters without a fingerprint: the broker's own, and those of older workers.
        redaction: What is hidden of messages that no worker of this library has looked at.
        clock: Time of death of messages that do not tell theirs.
    """

    def __init__(self, grouping: Grouping = BUILT_IN, redaction: Redaction = USUAL, clock: Clock | None = None) -> None:
        self._grouping, self._redaction = grouping, redaction
        self._clock = clock or SystemClock()

    def read(self, payload: Payload) -> Note:
        """
        Raises:
            EnvelopeUnreadable: neither one of ours nor one that the broker dead-lettered.
            Exception: whatever a foreign message can make Python raise.
        """
        if payload.content_type not in CONTENT_TYPES.values():
            letter = broker_dead_letter(payload, now=self._clock.now())
            if letter is not None:
                return self._grouped(letter)
        note = decode(payload.content_type, payload.body)
        return self._grouped(note) if isinstance(note, DeadLetter) else note

    def reason(self, error: Exception) -> str:
        """Why a message could not be read, as it may be told."""
        return self._redaction.text(parking.reason(error))

    def _grouped(self, letter: DeadLetter) -> DeadLetter:
        """The letter with a view and a fingerprint; without the latter, where making one fails."""
        letter = with_view(letter, self._redaction)
        if letter.fingerprint is not None:
            return letter
        try:
            return replace(letter, fingerprint=fingerprint_of_letter(letter, self._grouping))
        except Exception:
            logger.exception("recorder.ungrouped kind=%s", letter.kind)
            return letter
