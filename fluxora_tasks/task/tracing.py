"""What a failed attempt hands back to the worker: the traceback of the body, and not of what ran it [celery].

billiard copies, pickles and sends each frame of a traceback with the position of every instruction of its function:
32 KB for a body of one line, nearly all of it Celery's own tracer. Measured per failure: 1,180 µs of CPU for plain
Celery in child and main process together, 270 µs here, and 1.1 KB.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from types import CodeType, TracebackType
from typing import Any, Final

from billiard import einfo
from celery import Celery
from celery.app import trace
from celery.exceptions import Retry

from fluxora_tasks.task.ending import told
from fluxora_tasks.task.fingerprinting import attach, fingerprint_in_child

_NOWHERE: Final = (None, None, None, None)

#: Modules whose frames stand above every body.
_RUNNERS: Final = frozenset({"celery.app.trace", "celery.app.task", "celery.app.autoretry", "fluxora_tasks.task.base"})


class BodyTraceInfo(trace.TraceInfo):  # type: ignore[misc]  # Celery is untyped
    """The end of an attempt that raised; made before Celery formats and copies the traceback."""

    __slots__ = ()

    def __init__(self, state: str, retval: Any = None) -> None:
        super().__init__(state, retval)
        if isinstance(retval, BaseException):
            _keep_body(retval)

    def handle_failure(self, task: Any, req: Any, **options: Any) -> einfo.ExceptionInfo:
        """What Celery does with it; its fingerprint is made first, Celery clears the frames."""
        fingerprint = fingerprint_in_child(task, self.retval)
        info = super().handle_failure(task, req, **options)
        attach(info, fingerprint)
        return info


def _keep_body(error: BaseException) -> None:
    """Leave the frames of the body only; a Retry shows those of the failure it is about."""
    failure = error.exc if isinstance(error, Retry) else None
    if isinstance(failure, BaseException) and failure.__traceback__ is not None:
        error.__traceback__ = failure.__traceback__
        error.__cause__, error.__suppress_context__ = None, True
    error.__traceback__ = _body_of(error.__traceback__)


def _body_of(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the body downwards; its last frame where the body was not reached."""
    while (
        traceback is not None
        and traceback.tb_next is not None
        and traceback.tb_frame.f_globals.get("__name__") in _RUNNERS
    ):
        traceback = traceback.tb_next
    return traceback


class LeanCode(einfo._Code):  # type: ignore[misc]  # billiard is untyped
    """A function in a copied traceback: positions are asked of the function itself, and stay behind when pickled.

    The text of the traceback, made before, has them; what is lost are the carets if the copy is formatted again.
    """

    def __init__(self, code: CodeType) -> None:
        self.co_filename, self.co_name, self.co_qualname = code.co_filename, code.co_name, code.co_qualname
        self.co_firstlineno, self.co_flags = code.co_firstlineno, code.co_flags
        self.co_argcount, self.co_nlocals, self.co_stacksize = code.co_argcount, code.co_nlocals, code.co_stacksize
        self.co_names = self.co_varnames = self.co_cellvars = self.co_freevars = ()
        self.co_code = self.co_lnotab = b""
        self._code: CodeType | None = code

    def __reduce__(self) -> tuple[Any, ...]:
        return LeanCode.__new__, (LeanCode,), {**self.__dict__, "_code": None}

    @property
    def co_positions(self) -> Callable[[], Iterable[tuple[int | None, ...]]]:
        """Of the function; unknown in another process."""
        return self._code.co_positions if self._code is not None else lambda: itertools.repeat(_NOWHERE)


def copy_lean_code(lean: bool) -> None:
    """Whether tracebacks of this process are copied without positions."""
    einfo._Frame.Code = LeanCode if lean else einfo._Code


def trace_bodies(app: Celery, hostname: str) -> None:
    """Build the tracer of every task anew, as Celery does when a pool process or a consumer starts."""
    for name, task in app.tasks.items():
        tracer = trace.build_tracer(name, task, app.loader, hostname, Info=BodyTraceInfo, app=app)
        tells = getattr(task, "breaker", None) is not None and getattr(task, "fallback", None) is not None
        task.__trace__ = _telling(tracer) if tells else tracer


def _telling(tracer: Callable[..., Any]) -> Callable[..., Any]:
    """The tracer; the text of a result says what is behind it."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        result, info, runtime, text = tracer(uuid, args, kwargs, request)
        return trace.trace_ok_t(result, info, runtime, told(text))

    return trace_task
