"""What a failure is, read from its exception where that still has its causes and frames.

Asks foreign code for texts and attributes, so anything here may raise; whoever calls it is prepared.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from billiard.einfo import RemoteTraceback
from celery.utils.serialization import UnpickleableExceptionWrapper

from fluxora_tasks.classification import causes_of, qualified_name
from fluxora_tasks.classification.causes import leaves_of
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.grouping import ErrorFacts, FailureFacts, detail_in
from fluxora_tasks.errors import CircuitBreakerError, TaskAborted
from fluxora_tasks.task.application_code import frame_of

#: Attributes under which answers of servers say their status.
_STATUS: Final = ("status_code", "status", "code")


def facts_of(
    error: BaseException, kind: Kind, *, task: str = "", queue: str = "", own: str = "", frames: Any = None
) -> FailureFacts:
    """
    The facts of one exception.

    Args:
        own: Package that counts as the application's wherever it is installed.
        frames: Copied traceback of the error, where it has none of its own any more.
    """
    chain = chain_of(error)
    root = chain[-1]
    traceback: TracebackType | None = root.__traceback__ or (frames if root is error else None)
    return FailureFacts(
        kind=kind,
        task=task,
        queue=queue,
        errors=tuple(ErrorFacts(type_name(one), said_by(one)) for one in chain),
        types=tuple(sorted({type_name(leaf) for leaf in leaves_of(root)})),
        frame=frame_of(traceback, own),
        status=status_of(root),
        detail=detail_in(kind, _telling(chain)),
    )


def chain_of(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, root cause last; an exception group is a root, it says all itself."""
    chain: list[BaseException] = []
    for cause in causes_of(error, implicit=True):
        if isinstance(cause, RemoteTraceback):
            break  # billiard hangs the text of the traceback there
        chain.append(cause)
        if isinstance(cause, BaseExceptionGroup):
            break
    return chain


def status_of(error: BaseException) -> str:
    """What a server or a database answered, as ``name=value``; empty for an error that tells nothing of it."""
    return _sql_state_of(error) or _sql_state_of(getattr(error, "orig", None)) or _http_status_of(error)


def _sql_state_of(error: Any) -> str:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str) and len(state) == 5 and state.isalnum():
        return f"sqlstate={state}"
    name = getattr(error, "sqlite_errorname", None)
    return f"sqlite={name}" if isinstance(name, str) else ""


def _http_status_of(error: BaseException) -> str:
    for source in (error, getattr(error, "response", None)):
        for name in _STATUS:
            status = _of_answer(source, name)
            if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
                return f"status={int(status)}"
    return ""


def _of_answer(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):  # boto's
        source = source.get("ResponseMetadata")
        return source.get("HTTPStatusCode") if isinstance(source, Mapping) else None
    return getattr(source, name, None)


def type_name(error: BaseException) -> str:
    """The qualified name of an error's type, also of one that could not be pickled."""
    if isinstance(error, UnpickleableExceptionWrapper):
        return f"{error.exc_module}.{error.exc_cls_name}"
    if isinstance(error, TaskAborted):
        return error.original_type
    return qualified_name(type(error))


def said_by(error: BaseException) -> str:
    """The text of an error; of one whose text raises, what is known of that."""
    if isinstance(error, TaskAborted):
        return str(error.args[1])
    try:
        return str(error)
    except Exception as exc:  # noqa: BLE001 - foreign code
        return f"<{type(error).__name__}, whose text raised {type(exc).__name__}>"


def _telling(chain: list[BaseException]) -> str:
    """The text of the refusal where there is one, else of the failure itself."""
    refusal = next((one for one in chain if isinstance(one, CircuitBreakerError)), chain[0])
    return said_by(refusal)
