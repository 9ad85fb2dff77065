"""Rules of the application that say which failures are alike: data, not code (pure).

    {"group_by_task": true,
     "rules": [{"name": "payment", "task": "shop.*", "exception": "PaymentError",
                "message": "declined by (?P<bank>\\\\w+)", "key": "declined {bank}"}]}

The first rule that matches decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from string import Formatter
from typing import Any, Final

from fluxora_tasks.deadletter.grouping.facts import ErrorFacts, FailureFacts
from fluxora_tasks.deadletter.grouping.parameters import parameterise
from fluxora_tasks.errors import ConfigurationError

#: Characters of a message that a regex looks at.
_LOOKED_AT: Final = 4096

_CONDITIONS: Final = ("task", "exception", "message")
_OPTIONS: Final = (*_CONDITIONS, "key", "name")
_NAMES: Final = ("rules", "group_by_task")


def as_it_is(text: str) -> str:
    """The text: what stands where nothing is redacted."""
    return text


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what is ``None`` matches everything.

    Attributes:
        key: Template of what is compared, with ``{task}``, ``{exception}``, and groups of ``message``.
        task: Pattern of task names, with ``*``, ``?`` and ``[...]``.
        exception: Pattern of exception types, qualified or bare; the failure itself or any of its causes.
        message: Found anywhere in the text of such an exception.
        name: For people; empty for none.
    """

    key: str
    task: str | None = None
    exception: str | None = None
    message: re.Pattern[str] | None = None
    name: str = ""

    def key_for(self, facts: FailureFacts) -> str | None:
        """What is compared; ``None`` where the rule does not match. Values of groups become placeholders first."""
        if self.task is not None and not fnmatchcase(facts.task, self.task):
            return None
        found = next(self._matches(facts), None)
        if found is None:
            return None
        error, match = found
        groups = {} if match is None else _groups_of(match)
        return _rendered(self.key, {**groups, "task": facts.task, "exception": error.type})

    def _matches(self, facts: FailureFacts) -> Iterator[tuple[ErrorFacts, re.Match[str] | None]]:
        for error in facts.errors or (ErrorFacts("", facts.text),):
            if self.exception is not None and not _is_called(error.type, self.exception):
                continue
            match = None if self.message is None else self.message.search(error.message[:_LOOKED_AT])
            if self.message is None or match is not None:
                yield error, match


@dataclass(frozen=True, slots=True)
class Grouping:
    """How failures are grouped.

    Attributes:
        rules: Asked in this order; the first that matches decides.
        by_task: Whether the same failure in two tasks makes two groups.
        redact: Applied to every text that comes of a message before it is compared.
    """

    rules: tuple[Rule, ...] = ()
    by_task: bool = True
    redact: Callable[[str], str] = field(default=as_it_is, compare=False)


#: Where the application has no rules.
BUILT_IN: Final = Grouping()


def grouping_of(said: Any) -> Grouping:
    """
    Rules from data of the form shown above.

    Raises:
        ConfigurationError: one line that says which rule does not work, and what would.
    """
    if not isinstance(said, Mapping):
        raise ConfigurationError("rules of grouping are a table with 'rules', and 'group_by_task' if you like")
    _check_names("the file", said, _NAMES)
    rules, by_task = said.get("rules", []), said.get("group_by_task", True)
    if not isinstance(rules, list):
        raise ConfigurationError(f"rules is a list of tables; got {type(rules).__name__}")
    if not isinstance(by_task, bool):
        raise ConfigurationError(f"group_by_task is true or false; got {by_task!r}")
    return Grouping(tuple(_rule_of(number, rule) for number, rule in enumerate(rules, 1)), by_task)


def _rule_of(number: int, said: Any) -> Rule:
    place = f"rule {number}"
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"{place} is a table such as {{'exception': 'OSError', 'key': 'disk'}}; got {said!r}")
    _check_names(place, said, _OPTIONS)
    for option, value in said.items():
        if not isinstance(value, str) or not 0 < len(value) <= 500:
            raise ConfigurationError(f"{place}: {option} is a text of 1 to 500 characters; got {value!r}")
    place = f"{place} ({said['name']})" if "name" in said else place
    if "key" not in said:
        raise ConfigurationError(f"{place}: has no key; say what its failures have in common, such as key = '{{task}}'")
    if not any(condition in said for condition in _CONDITIONS):
        raise ConfigurationError(f"{place}: matches everything; give it one of {', '.join(_CONDITIONS)}")
    message = _compiled(place, said["message"]) if "message" in said else None
    _check_key(place, said["key"], message)
    return Rule(said["key"], said.get("task"), said.get("exception"), message, said.get("name", ""))


def _compiled(place: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigurationError(f"{place}: message is no regex that Python reads: {error}; got {regex!r}") from None


def _check_key(place: str, key: str, message: re.Pattern[str] | None) -> None:
    """Only plain names in braces: a template reaches no attribute of anything."""
    known = ["task", "exception"]
    if message is not None:
        known += [*message.groupindex, *(str(number) for number in range(1, message.groups + 1))]
    try:
        parts = list(Formatter().parse(key))
    except ValueError as error:
        raise ConfigurationError(f"{place}: key {key!r}: {error}; write {{{{ for a brace") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in known or form or conversion):
            asked, given = f"{{{name}}}", ", ".join(f"{{{one}}}" for one in known)
            raise ConfigurationError(f"{place}: key {key!r}: {asked} is nothing this rule has; known are {given}")


def _check_names(place: str, said: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in said:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigurationError(f"{place}: unknown option {name!r}; {hint}")


def _rendered(key: str, values: Mapping[str, str]) -> str:
    return "".join(
        literal if name is None else literal + values[name] for literal, name, _, _ in Formatter().parse(key)
    )


def _is_called(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[2], pattern)


def _groups_of(match: re.Match[str]) -> dict[str, str]:
    """By number and by name; a group that took no part is empty."""
    numbered = {str(number): value for number, value in enumerate(match.groups(""), 1)}
    return {name: parameterise(value) for name, value in {**numbered, **match.groupdict("")}.items()}
