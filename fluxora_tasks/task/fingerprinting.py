"""The fingerprint of a failure, made in the process that ran the body [celery].

Only there an exception has its causes and frames. It travels to the main process as an attribute of billiard's
``ExceptionInfo``, which is pickled whole, also where its exception cannot be. No fault here reaches the task.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import BUILT_IN, Grouping, fingerprint_of
from fluxora_tasks.deadletter.origin import queue_of
from fluxora_tasks.deadletter.redaction import USUAL, Redaction
from fluxora_tasks.task.failure_facts import facts_of
from fluxora_tasks.task.outcome import read_mark
from fluxora_tasks.task.representation import secrets_of_run

logger = logging.getLogger(__name__)

_ATTRIBUTE: Final = "fx_fingerprint"

#: Tasks whose ``fingerprint`` was complained about in this process.
_complained: set[str] = set()


def fingerprint_in_child(task: Any, error: BaseException) -> Fingerprint | None:
    """The fingerprint of a body's failure; ``None`` where making it failed, so that the main process makes one."""
    try:
        extension = getattr(task.app, "fluxora", None)
        redaction: Redaction = getattr(extension, "redaction", USUAL)
        grouping: Grouping = getattr(extension, "grouping", BUILT_IN)
        grouping = replace(grouping, redact=lambda text: redaction.text(text, secrets_of_run(task, redaction)))
        own = str(task.__module__ or "").partition(".")[0]
        facts = facts_of(error, _kind_of(error), task=task.name, queue=queue_of(task.app, task.request), own=own)
        return fingerprint_of(replace(facts, hook=_hook_of(task, error)), grouping)
    except Exception:
        logger.warning("a failure of task %s has no fingerprint of its own", getattr(task, "name", ""), exc_info=True)
        return None


def attach(info: ExceptionInfo, fingerprint: Fingerprint | None) -> None:
    """Send it along with a failure."""
    if fingerprint is not None:
        setattr(info, _ATTRIBUTE, fingerprint)


def attached_to(info: ExceptionInfo) -> Fingerprint | None:
    """What came along with a failure."""
    found = getattr(info, _ATTRIBUTE, None)
    return found if isinstance(found, Fingerprint) else None


def _kind_of(error: BaseException) -> Kind:
    if isinstance(error, SoftTimeLimitExceeded):
        return Kind.SOFT_TIME_LIMIT
    marked = read_mark(error)
    return marked[0] if marked else Kind.EXCEPTION


def _hook_of(task: Any, error: BaseException) -> tuple[str, ...]:
    """What the task's own ``fingerprint`` gives; nothing where it has no opinion, raises, or gives something else."""
    hook = getattr(task, "fingerprint", None)
    if not callable(hook):
        return ()
    try:
        return _parts_of(hook(error))
    except Exception:
        if task.name not in _complained:
            _complained.add(task.name)
            logger.warning("fingerprint() of task %s failed; they are grouped without it", task.name, exc_info=True)
        return ()


def _parts_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    parts = (given,) if isinstance(given, str) else tuple(given or ())
    if not all(isinstance(part, str) for part in parts):
        raise TypeError(f"it gives a text, several, or None; got {given!r:.200}")
    return tuple(part for part in parts if part)
