"""What logs and events say about arguments: Celery's representation, without secrets [celery]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from celery.utils.saferepr import saferepr

from fluxora_tasks.deadletter.redaction import NO_SECRETS, NOT_SHOWN, Path, Redaction, Secrets, below, says_nothing
from fluxora_tasks.deadletter.secretpatterns import MARK
from fluxora_tasks.deadletter.view import named_arguments, named_headers
from fluxora_tasks.task.parameters import parameters_of

#: Characters of one of Celery's representations, and so the most items it can show.
LONGEST: Final = 1024

#: Set on a request once its secrets were looked for; its log lines and its fingerprint ask for them.
_FOUND: Final = "_fx_secrets"

#: Types whose representation tells nothing but their value.
_PLAIN: Final = (int, float, date, time, timedelta, Decimal, UUID, type(None))


def secrets_of(
    args: Any,
    kwargs: Any,
    parameters: Sequence[str],
    redaction: Redaction,
    headers: Mapping[str, Any] | None = None,
) -> Secrets:
    """The secrets among arguments and headers as a task gets them."""
    args = args if isinstance(args, (list, tuple)) else ()
    kwargs = kwargs if isinstance(kwargs, Mapping) else {}
    if not args and not kwargs and not headers:
        return NO_SECRETS
    named = named_arguments(args, kwargs, parameters, redaction)
    return redaction.secrets_in([*named, *named_headers(headers or {}, redaction)])


def secrets_of_run(task: Any, redaction: Redaction) -> Secrets:
    """The secrets of the message that a task runs for in this very moment."""
    request = getattr(task, "request", None)
    if request is None or request.args is None:
        return NO_SECRETS
    found: Secrets | None = getattr(request, _FOUND, None)
    if found is None:
        headers = {**(request.headers or {}), **(request.stamps or {})}
        found = secrets_of(request.args, request.kwargs, parameters_of(task), redaction, headers)
        setattr(request, _FOUND, found)
    return found


def representations(
    args: Any, kwargs: Any, parameters: Sequence[str], redaction: Redaction, levels: int = 3
) -> dict[str, str]:
    """
    ``argsrepr`` and ``kwargsrepr`` where Celery's own would tell a secret; empty where it would not.

    Args:
        levels: Of nesting, as Celery's ``task_repr_maxlevels``.
    """
    if not args and not kwargs:
        return {}
    try:
        found = _Hiding(redaction, levels)
        shown_args = found.arguments(args or (), kwargs or {}, parameters)
        shown_kwargs = found.mapping(kwargs or {}, redaction.paths_from("kwargs"), levels)
        if not found.hidden:
            return {}
        secrets = secrets_of(args, kwargs, parameters, redaction)
        return {
            "argsrepr": redaction.text(saferepr(shown_args, LONGEST, levels), secrets),
            "kwargsrepr": redaction.text(saferepr(shown_kwargs, LONGEST, levels), secrets),
        }
    except Exception:  # noqa: BLE001 - arguments of anybody; sending them goes on
        return {"argsrepr": NOT_SHOWN, "kwargsrepr": NOT_SHOWN}


class _Hiding:
    """A copy of arguments as far as a representation shows them.

    Attributes:
        hidden: Whether something in them must not be shown, or might be told by an object of an unknown type.
    """

    def __init__(self, rules: Redaction, levels: int) -> None:
        self.hidden = False
        self._rules, self._levels, self._left = rules, levels, LONGEST

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[str]) -> Any:
        named = named_arguments(args, {}, parameters, self._rules)
        return type_of(args)(self._item(name, value, onward, self._levels) for name, value, onward in named)

    def mapping(self, value: Mapping[Any, Any], paths: Sequence[Path], levels: int) -> dict[Any, Any]:
        shown = {}
        for key, item in value.items():
            if self._left <= 0:
                break
            name = str(key)
            shown[self.value(key, (), 1)] = self._item(name, item, below(paths, name), levels)
        return shown

    def _item(self, name: str, value: Any, onward: Sequence[Path], levels: int) -> Any:
        if (name or onward) and self._rules.names_a_secret(name, onward) and not says_nothing(value):
            self.hidden = True
            return MARK
        return self.value(value, onward, levels - 1)

    def value(self, value: Any, paths: Sequence[Path], levels: int) -> Any:
        self._left -= 1
        if isinstance(value, str):
            text = self._rules.text(value[: 8 * LONGEST])
            self.hidden = self.hidden or text != value[: 8 * LONGEST]
            return text
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, Mapping):
            return self.mapping(value, paths, levels) if levels > 0 else {}
        if isinstance(value, (list, tuple, set, frozenset)):
            return type_of(value)(self._items(value, paths, levels)) if levels > 0 else type_of(value)()
        self.hidden = True
        return value

    def _items(self, value: Iterable[Any], paths: Sequence[Path], levels: int) -> Iterable[Any]:
        for number, item in enumerate(value):
            if self._left <= 0:
                return
            yield self._item("", item, below(paths, str(number)) if paths else (), levels)


def type_of(value: Any) -> type:
    """The built-in type that a container looks like."""
    return next((one for one in (tuple, list, frozenset, set) if isinstance(value, one)), list)
