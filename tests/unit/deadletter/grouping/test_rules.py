"""Rules of grouping in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.grouping import ErrorFacts, FailureFacts, fingerprint_of, grouping_of, read_grouping
from fluxora_tasks.errors import ConfigurationError

_DECLINED = r"""
group_by_task = false

[[rules]]
name = "bank"
task = "shop.*"
exception = "PayError"
message = 'declined by (?P<bank>\w+), code (\d+)'
key = "{bank} said {2} to {exception} {{}}"
"""


def declined(text: str, type_: str = "shop.errors.PayError") -> FailureFacts:
    return FailureFacts(Kind.EXCEPTION, "shop.charge", errors=(ErrorFacts(type_, text),), types=(type_,))


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    """By the end of the file's name."""
    toml, as_json = tmp_path / "rules.toml", tmp_path / "rules.json"
    toml.write_text(_DECLINED)
    rule = {"name": "bank", "task": "shop.*", "exception": "PayError", "key": "{bank} said {2} to {exception} {{}}",
            "message": r"declined by (?P<bank>\w+), code (\d+)"}  # fmt: skip
    as_json.write_text(json.dumps({"group_by_task": False, "rules": [rule]}))
    assert read_grouping(toml) == read_grouping(as_json)
    found = fingerprint_of(declined("it was declined by acme, code 17"), read_grouping(toml))
    assert found.parts == ("rule=bank", "key=acme said <int> to shop.errors.PayError {}")
    assert fingerprint_of(declined("declined"), read_grouping(toml)).step == "message"


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("PayError", True), ("shop.errors.PayError", True), ("shop.*", True), ("*Error", True), ("Pay", False)],
)
def test_an_exception_is_named_bare_or_in_full(pattern: str, matches: bool) -> None:
    """With ``*`` and ``?``."""
    grouping = grouping_of({"rules": [{"exception": pattern, "key": "k"}]})
    assert (fingerprint_of(declined(""), grouping).step == "rule") is matches


def test_a_message_without_an_exception_is_found_by_its_text() -> None:
    """Of kinds that have only that."""
    grouping = grouping_of({"rules": [{"message": "exited", "key": "gone"}]})
    assert fingerprint_of(FailureFacts(Kind.WORKER_LOST, text="worker exited"), grouping).parts == ("key=gone",)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "rules of grouping are a table"),
        ({"rule": []}, "the file: unknown option 'rule'; did you mean rules?"),
        ({"rules": {}}, "rules is a list of tables; got dict"),
        ({"group_by_task": "no"}, "group_by_task is true or false; got 'no'"),
        ({"rules": ["x"]}, "rule 1 is a table such as"),
        ({"rules": [{"task": "a", "key": "k"}, {"tsak": "a", "key": "k"}]}, "rule 2: unknown option 'tsak'; did you"),
        ({"rules": [{"task": 3, "key": "k"}]}, "rule 1: task is a text of 1 to 500 characters; got 3"),
        ({"rules": [{"task": "a"}]}, "rule 1: has no key; say what"),
        ({"rules": [{"name": "all", "key": "k"}]}, "rule 1 (all): matches everything; give it one of task, exception"),
        ({"rules": [{"message": "(", "key": "k"}]}, "rule 1: message is no regex that Python reads: missing )"),
        ({"rules": [{"message": "(a)", "key": "{2}"}]}, "{2} is nothing this rule has; known are {task}, "),
        ({"rules": [{"task": "a", "key": "{task.name}"}]}, "{task.name} is nothing this rule has"),
        ({"rules": [{"task": "a", "key": "{task!r}"}]}, "{task} is nothing"),
        ({"rules": [{"task": "a", "key": "{"}]}, "write {{ for a brace"),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_work_is_told(said: Any, told: str) -> None:
    """Which one, and what would work."""
    with pytest.raises(ConfigurationError) as error:
        grouping_of(said)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.toml", "="), ("a.json", '{"rules": 1}')])
def test_the_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    """Whether it cannot be read or does not work."""
    path = tmp_path / name
    with pytest.raises(ConfigurationError, match="No such file"):
        read_grouping(path)
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=name):
        read_grouping(path)
