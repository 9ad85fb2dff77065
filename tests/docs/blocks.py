"""Fenced blocks of a Markdown page that are marked to be run (pure).

A comment on the line before a fence marks it::

    <!-- test: NAME [file=PATH] [exit=N] [background=TEXT] [until=TEXT] [output] -->

NAME        blocks of one name are one scenario: run in order, in one empty directory
(nothing)   ``bash``: a script that must end with 0
exit=N      … with N
until=TEXT  … repeated until its output has TEXT, 60 s at most
background=TEXT
            … started, goes on once its output has TEXT (at once if empty), ended by SIGTERM after the scenario
file=PATH   any language: the block is written to PATH of the directory
output      any language: what the block before printed; ``…`` stands for anything

``<!-- test: none WHY -->`` marks a block that cannot be run. Values with blanks stand in quotes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

_MARK = re.compile(r"\s*<!--\s*test:\s*(.+?)\s*-->\s*")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([\w-]*).*")

#: Languages whose blocks a reader copies and runs.
RUNNABLE = frozenset({"bash", "sh", "console", "shell", "python"})

NOT_RUN = "none"
_OPTIONS = frozenset({"file", "exit", "until", "background", "output"})


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        line: Line of its fence, from 1.
        language: Word after the fence.
        text: Its lines, each ending in a line break.
        scenario: Name it is marked with; ``None`` where it has no mark.
        options: Options of the mark; a bare word has an empty value.
    """

    line: int
    language: str
    text: str
    scenario: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def blocks_of(page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    lines = iter(enumerate(page.splitlines(), 1))
    return list(_blocks(lines))


def scenarios_of(page: str) -> dict[str, list[Block]]:
    """The blocks to be run, by scenario, in order."""
    found: dict[str, list[Block]] = {}
    for block in blocks_of(page):
        if block.scenario not in (None, NOT_RUN):
            found.setdefault(str(block.scenario), []).append(block)
    return found


def unmarked(page: str) -> list[Block]:
    """Blocks a reader would run and no test does."""
    return [block for block in blocks_of(page) if block.language in RUNNABLE and block.scenario is None]


def output_matches(expected: str, printed: str) -> bool:
    """Whether the lines stand in what was printed, in this order; ``…`` stands for anything."""
    wanted = [_pattern(line) for line in expected.splitlines() if line.strip() not in ("", "…")]
    lines = iter(line.strip() for line in printed.splitlines())
    return all(any(pattern.fullmatch(line) for line in lines) for pattern in wanted)


def _blocks(lines: Iterator[tuple[int, str]]) -> Iterator[Block]:
    mark: str | None = None
    for number, line in lines:
        fence = _FENCE.fullmatch(line)
        if fence is None:
            found = _MARK.fullmatch(line)
            mark = found[1] if found else mark if not line.strip() else None
            continue
        scenario, options = _read_mark(mark, number)
        yield Block(number, fence[2], _body(lines, fence[1]), scenario, options)
        mark = None


def _body(lines: Iterator[tuple[int, str]], fence: str) -> str:
    body: list[str] = []
    for _, line in lines:
        if line.strip() == fence:
            break
        body.append(f"{line}\n")
    return "".join(body)


def _read_mark(mark: str | None, number: int) -> tuple[str | None, dict[str, str]]:
    if mark is None:
        return None, {}
    name, _, rest = mark.partition(" ")
    if name == NOT_RUN:
        return name, {}
    options = dict(word.partition("=")[::2] for word in shlex.split(rest))
    wrong = set(options) - _OPTIONS
    if wrong:
        raise ValueError(f"line {number}: the mark knows {sorted(_OPTIONS)}, not {sorted(wrong)}")
    return name, options


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))
