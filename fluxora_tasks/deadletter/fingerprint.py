"""Which failures are alike: a fingerprint, and the group it names (pure)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

#: Of the rules that make the parts; a change of them is a new version, and old groups stay as they are.
VERSION: Final = 1

_SEPARATOR: Final = "\x1f"
_GROUP_ID_LENGTH: Final = 16


@dataclass(frozen=True)
class Fingerprint:
    """What a failure has in common with those like it.

    Attributes:
        step: Which step of the rules decided: ``rule``, ``hook``, ``frame``, ``message``, or a kind of dead letter.
        parts: What was compared, without any value of the message: names of types, functions, queues, and texts whose
            values are replaced by placeholders.
        version: Of the rules.
    """

    step: str
    parts: tuple[str, ...]
    version: int = VERSION

    @cached_property
    def group_id(self) -> str:
        """16 hexadecimal digits; the same for equal parts of one version."""
        text = _SEPARATOR.join((f"v{self.version}", *self.parts))
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:_GROUP_ID_LENGTH]
