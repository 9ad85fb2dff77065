"""What may be asked for (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.ledger.standing import Status


class Reads(Enum):
    """What a field's values are.

    TEXT: as they stand; NAME: ``*`` stands for anything in them; CHOICE: of a closed list; NUMBER: whole, from 0;
    TIME: a day or a moment, UTC where no zone is given; AGE: a duration such as 1h30m.
    """

    TEXT = auto()
    NAME = auto()
    CHOICE = auto()
    NUMBER = auto()
    TIME = auto()
    AGE = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        choices: The closed list, for ``Reads.CHOICE``.
        aliases: Other names of it.
        path: What stands behind its name and a dot, as shown in help; empty where nothing does.
    """

    name: str
    reads: Reads = Reads.TEXT
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    path: str = ""

    @property
    def shown(self) -> str:
        """Its name in help."""
        return f"{self.name}.<{self.path}>" if self.path else self.name


@dataclass(frozen=True, slots=True)
class Grammar:
    """The fields of one kind of list."""

    fields: tuple[Field, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """The names in help."""
        return tuple(field.shown for field in self.fields)

    def names(self) -> Iterator[str]:
        """Every name that may be typed."""
        for field in self.fields:
            yield from (field.name, *field.aliases)

    def field(self, name: str) -> Field | None:
        """The field of a name or an alias, in any case."""
        wanted = name.lower()
        return next((field for field in self.fields if wanted in (field.name, *field.aliases)), None)


#: Outcomes of an item of a bulk operation.
OUTCOMES: Final = (
    *("pending", "issued", "done", "succeeded", "failed_again", "skipped", "publish_failed", "unconfirmed"),
)

_TRUTH: Final = ("true", "false")

DEAD_LETTERS: Final = Grammar(
    (
        Field("status", Reads.CHOICE, tuple(Status), aliases=("state",)),
        Field("kind", Reads.CHOICE, tuple(Kind)),
        Field("task", Reads.NAME),
        Field("queue", Reads.NAME),
        Field("exception", Reads.NAME, aliases=("exc",)),
        Field("id"),
        Field("group", Reads.NAME),
        Field("message_id", Reads.NAME),
        Field("task_id", Reads.NAME),
        Field("attempts", Reads.NUMBER),
        Field("failures", Reads.NUMBER),
        Field("replays", Reads.NUMBER),
        Field("age", Reads.AGE),
        Field("failed", Reads.TIME),
        Field("first_failed", Reads.TIME),
        Field("size", Reads.NUMBER),
        Field("host", Reads.NAME, aliases=("worker",)),
        Field("release", Reads.NAME),
        Field("header", Reads.NAME, path="name"),
        Field("body", Reads.NAME, path="path"),
        Field("text"),
        Field("op"),
        Field("outcome", Reads.CHOICE, OUTCOMES),
        Field("conflict", Reads.CHOICE, _TRUTH),
        Field("unconfirmed", Reads.CHOICE, _TRUTH),
    )
)

#: Fields of a filter over dead letters, as help shows them.
FIELDS: Final = DEAD_LETTERS.shown
