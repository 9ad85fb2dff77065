"""Names of a task's positional parameters."""

from __future__ import annotations

import inspect
from typing import Any, Final

_REMEMBERED: Final = "_fx_parameters"
_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameters_of(task: Any) -> tuple[str, ...]:
    """The names, without ``self``, that of ``*args`` with its star; empty where they cannot be found out."""
    own: dict[str, Any] = getattr(task, "__dict__", {})
    if _REMEMBERED not in own:
        own[_REMEMBERED] = _parameters(getattr(task, "run", None))
    names: tuple[str, ...] = own[_REMEMBERED]
    return names


def _parameters(body: Any) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(body).parameters.values()
    except (TypeError, ValueError):
        return ()
    names = tuple(parameter.name for parameter in parameters if parameter.kind in _BY_POSITION)
    rest = (f"*{parameter.name}" for parameter in parameters if parameter.kind is inspect.Parameter.VAR_POSITIONAL)
    return (*names, *rest)
