"""Which frames of a traceback are the application's own code, rather than Python's or a library's."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from types import TracebackType
from typing import Any, Final

#: Packages that run a body, wherever they are installed.
_FRAMEWORK: Final = frozenset({"celery", "kombu", "billiard", "amqp", "vine", "fluxora_tasks"})

#: Directories of installed packages, in any environment.
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")

_PYTHON: Final = tuple(
    f"{path}/" for name in ("stdlib", "platstdlib") if (path := sysconfig.get_paths().get(name)) is not None
)
_LIBRARIES: Final = tuple(f"{path}/" for path in (*site.getsitepackages(), site.getusersitepackages()))

#: Modules that are remembered.
_REMEMBERED: Final = 2048


def frame_of(traceback: TracebackType | None, own: str = "") -> str:
    """
    ``module:function`` of the innermost frame of the application, else of the innermost frame; empty for none.

    Knows neither line nor file nor address, so it stays as it is when the code around it changes.

    Args:
        traceback: Of the error, or billiard's copy of it.
        own: Package that counts as the application's wherever it is installed.
    """
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(entries):
        frame: Any = entry.tb_frame
        if is_application(frame.f_globals.get("__name__"), frame.f_code.co_filename, own):
            return _named(frame)
    return _named(entries[-1].tb_frame) if entries else ""


@functools.lru_cache(_REMEMBERED)
def is_application(module: str | None, file: str, own: str = "") -> bool:
    """
    Whether a module is the application's own code.

    Args:
        module: Its name; ``None`` for code that is executed without a module.
        file: Where its code says it comes from; ``<string>`` and the like for what is made while running.
        own: Likewise, as in ``frame_of``.
    """
    if not module:
        return False
    package = module.partition(".")[0]
    if package in _FRAMEWORK:
        return False
    return package == own or not _is_library(file if os.path.isabs(file) else _origin_of(module) or file)


def _origin_of(module: str) -> str:
    """Where a loaded module comes from; ``built-in`` and ``frozen`` for parts of Python, empty where nobody knows."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    origin = getattr(spec, "origin", None)
    return origin if isinstance(origin, str) else ""


def _is_library(origin: str) -> bool:
    if origin in ("built-in", "frozen") or origin.startswith("<frozen "):
        return True
    path = origin.replace("\\", "/")
    return path.startswith((*_PYTHON, *_LIBRARIES)) or any(part in path for part in _INSTALLED)


def _named(frame: Any) -> str:
    code = frame.f_code
    return f"{frame.f_globals.get('__name__') or '<exec>'}:{getattr(code, 'co_qualname', code.co_name)}"
