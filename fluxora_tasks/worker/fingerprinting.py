"""The fingerprint of a failure, in the main process: the child's, else one of what is known here."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import FailureFacts, detail_in, fingerprint_of
from fluxora_tasks.deadletter.redaction import NO_SECRETS, Secrets
from fluxora_tasks.task.failure_facts import facts_of

if TYPE_CHECKING:
    from fluxora_tasks.worker.capture import Delivery, Reason

logger = logging.getLogger(__name__)


def fingerprint_for(delivery: Delivery, reason: Reason, secrets: Secrets = NO_SECRETS) -> Fingerprint | None:
    """The fingerprint of a dead letter; ``None`` where making one failed, so that the ledger makes it of the letter."""
    if reason.fingerprint is not None:
        return reason.fingerprint
    try:
        redact = functools.partial(delivery.redaction.text, secrets=secrets)
        return fingerprint_of(_facts(delivery, reason), replace(delivery.grouping, redact=redact))
    except Exception:
        logger.warning("a dead letter of task %s leaves without a fingerprint", delivery.task, exc_info=True)
        return None


def _facts(delivery: Delivery, reason: Reason) -> FailureFacts:
    kind, task, queue = reason.kind, delivery.task, delivery.queue
    content_type = delivery.message.content_type
    content_type = content_type if isinstance(content_type, str) else ""
    if reason.error is None:
        detail = detail_in(kind, reason.text)
        return FailureFacts(kind, task, queue, detail=detail, content_type=content_type, text=reason.text)
    own = task.partition(".")[0]
    return replace(
        facts_of(reason.error, kind, task=task, queue=queue, own=own, frames=reason.frames), content_type=content_type
    )
