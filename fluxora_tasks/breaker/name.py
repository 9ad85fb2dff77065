"""What a circuit may be called (pure): names come from arguments of tasks, and become part of keys."""

from __future__ import annotations

import re
from typing import Final

from fluxora_tasks.errors import ConfigurationError

#: Characters.
LONGEST: Final = 200

# braces are the cluster's hash tag; a lone surrogate has no encoding
_UNFIT: Final = re.compile(r"[{}\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def checked_name(name: str) -> str:
    """
    The name, if a circuit may have it.

    Raises:
        ConfigurationError: it is empty, longer than ``LONGEST``, or has a brace or a control character.
    """
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST:
        raise ConfigurationError(f"a circuit's name is a text of 1 to {LONGEST} characters; got {_shortened(name)}")
    if _UNFIT.search(name):
        raise ConfigurationError(f"a circuit's name has no braces and no control characters; got {_shortened(name)}")
    return name


def _shortened(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:57]}..."
