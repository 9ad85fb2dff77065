"""What may be shown of a message, and the secrets that its texts must not tell (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import DeadLetter, Payload, View
from fluxora_tasks.deadletter.redaction import (
    NOT_SHOWN,
    UNKNOWN_SECRETS,
    Path,
    Redaction,
    Secrets,
    below,
    says_nothing,
)
from fluxora_tasks.deadletter.secretpatterns import MARK

#: Bytes of a body up to which its arguments are shown, and up to which they are looked through for secrets.
MOST_SHOWN: Final = 1024 * 1024
MOST_READ: Final = 16 * 1024 * 1024

#: Characters of a view's JSON, about: arguments and headers.
_ARGUMENTS: Final = 10_000
_HEADERS: Final = 5_000

#: Headers that show the arguments once more.
_REPRESENTATIONS: Final = ("argsrepr", "kwargsrepr")

Named = tuple[str, Any, Sequence[Path]]


def with_view(letter: DeadLetter, redaction: Redaction) -> DeadLetter:
    """A dead letter that comes without a view, from the broker or an older worker, with one; its texts redacted."""
    if letter.view is not None:
        return letter
    view, secrets = view_of(letter.payload, (), redaction)
    message, traceback = redaction.text(letter.message, secrets), redaction.text(letter.traceback, secrets)
    return replace(letter, view=view, message=message, traceback=traceback)


def view_of(payload: Payload, parameters: Sequence[str], redaction: Redaction) -> tuple[View, Secrets]:
    """
    What may be shown of a message, and what its texts must not tell.

    Args:
        parameters: Names of the task's positional parameters, the one of ``*args`` with its star; may be empty.
    """
    try:
        return _view_of(payload, parameters, redaction)
    except Exception:  # noqa: BLE001 - a message of anybody; nothing of it may get through unseen
        return View(note=NOT_SHOWN), UNKNOWN_SECRETS


def _view_of(payload: Payload, parameters: Sequence[str], redaction: Redaction) -> tuple[View, Secrets]:
    args, kwargs, note = arguments_of(payload)
    headers = {name: value for name, value in payload.headers.items() if name not in _REPRESENTATIONS}
    if len(payload.body) > MOST_READ:
        secrets = UNKNOWN_SECRETS
    else:
        named = [*named_arguments(args or (), kwargs or {}, parameters, redaction), *named_headers(headers, redaction)]
        secrets = redaction.secrets_in(named)
    known = Secrets(secrets.values)
    shown: tuple[list[Any] | None, dict[str, Any] | None] = (None, None)
    if args is not None and kwargs is not None and note is None:
        shown = shown_arguments(args, kwargs, parameters, redaction, known)
    view = View(*shown, redaction.value(headers, known, redaction.paths_from("headers"), _HEADERS), note)
    return view, secrets


def arguments_of(payload: Payload) -> tuple[list[Any] | None, dict[str, Any] | None, str | None]:
    """Arguments of a JSON body of Celery's shape, with a note where they are not shown; others are never loaded."""
    size, kind = len(payload.body), payload.content_type or "unknown type"
    if kind != "application/json":
        return None, None, f"{size} bytes of {kind}, not loaded"
    too_long = f"{size} bytes of {kind}, too long to show" if size > MOST_SHOWN else None
    if size > MOST_READ:
        return None, None, too_long
    try:
        args, kwargs, _embed = json.loads(payload.body)
    except (ValueError, TypeError, RecursionError):
        return None, None, f"{size} bytes of {kind}, not the arguments of a task"
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return None, None, f"{size} bytes of {kind}, not the arguments of a task"
    return args, kwargs, too_long


def named_arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[str], redaction: Redaction
) -> Iterator[Named]:
    """Arguments with their names, and the paths that go on from them."""
    for number, (name, value) in enumerate(zip(names_of(args, parameters), args, strict=True)):
        yield name, value, _paths_of(number, name, redaction)
    paths = redaction.paths_from("kwargs")
    for name, value in kwargs.items():
        yield str(name), value, below(paths, str(name))


def shown_arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[str], redaction: Redaction, secrets: Secrets
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as they may be shown; those by position are hidden by the name of their parameter."""
    names = names_of(args, parameters)
    paths = [_paths_of(number, name, redaction) for number, name in enumerate(names)]
    visible = [
        MARK if redaction.names_a_secret(name, onward) and not says_nothing(value) else value
        for name, onward, value in zip(names, paths, args, strict=True)
    ]
    onward = [("args", str(number), *path) for number, ends in enumerate(paths) for path in ends]
    onward += [path for path in redaction.paths if path[0] == "kwargs"]
    shown = redaction.value({"args": visible, "kwargs": kwargs}, secrets, onward, _ARGUMENTS)
    return shown["args"], shown.get("kwargs", {"…": f"[{len(kwargs)} more]"})


def names_of(args: Sequence[Any], parameters: Sequence[str]) -> list[str]:
    """The parameter of each positional argument; empty where it is not known."""
    rest = parameters[-1][1:] if parameters and parameters[-1].startswith("*") else ""
    fixed = [name for name in parameters if not name.startswith("*")][: len(args)]
    return [name for name, _ in zip_longest(fixed, args, fillvalue=rest)]


def _paths_of(number: int, name: str, redaction: Redaction) -> tuple[Path, ...]:
    """Paths lead to an argument by its number and by the name it would have as one by name."""
    if not redaction.paths:
        return ()
    return (*below(redaction.paths_from("args"), str(number)), *below(redaction.paths_from("kwargs"), name))


def named_headers(headers: Mapping[str, Any], redaction: Redaction) -> Iterator[Named]:
    """Headers with their names, and the paths that go on from them."""
    if not redaction.paths:
        return ((str(name), value, ()) for name, value in headers.items())
    paths = redaction.paths_from("headers")
    return ((str(name), value, below(paths, str(name))) for name, value in headers.items())
