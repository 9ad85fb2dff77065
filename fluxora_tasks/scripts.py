"""Lua scripts of this library, each one atomic step on the server [redis]."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

#: Sends one command and returns its answer.
Execute = Callable[..., Any]


class Script:
    """
    One script, from one or several files in ``lua`` of a package.

    Attributes:
        source: Its text.
        sha: Its name on the server.
    """

    def __init__(self, package: str, *names: str) -> None:
        texts = (files(package).joinpath("lua", f"{name}.lua").read_text() for name in names)
        self.source = "\n".join(texts)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """The command that runs it where it is loaded."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def whole_command(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """The command that runs it, loaded or not."""
        return ("EVAL", self.source, len(keys), *keys, *args)

    def run(self, execute: Execute, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it, loaded or not."""
        try:
            return execute(*self.command(keys, args))
        except NoScriptError:
            return execute(*self.whole_command(keys, args))
