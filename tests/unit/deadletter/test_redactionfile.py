"""Rules of redaction from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.deadletter.redaction import USUAL
from fluxora_tasks.deadletter.redactionfile import read_redaction
from fluxora_tasks.deadletter.secretpatterns import MARK
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.install import install
from fluxora_tasks.settings import Settings

TOML = """
names = ["customer_number"]
paths = ["kwargs.customer.name", "headers.X-Internal"]
allow = ["pin"]
emails = true
patterns = [{name = "staff number", regex = 'P-\\d{6}'}]
"""


def test_a_file_in_toml_or_json(tmp_path: Path) -> None:
    """Beside what is always redacted."""
    toml, also = tmp_path / "rules.toml", tmp_path / "rules.json"
    toml.write_text(TOML)
    also.write_text(
        json.dumps(
            {
                "names": ["customer_number"],
                "paths": ["kwargs.customer.name", "headers.X-Internal"],
                "allow": ["pin"],
                "emails": True,
                "patterns": [{"name": "staff number", "regex": r"P-\d{6}"}],
            }
        )
    )
    for path in (toml, also):
        rules = read_redaction(path)
        assert rules.text("P-123456 a@b.de pin=12 customerNumber=5 pwd=x") == (
            f"{MARK} {MARK} pin=12 customerNumber={MARK} pwd={MARK}"
        )
        assert rules.paths == (("kwargs", "customer", "name"), ("headers", "x-internal"))
    assert read_redaction(None) is USUAL


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "takes a table with names, paths, patterns, allow, emails; got list"),
        ({"name": ["x"]}, "'name' is no rule of redaction; take one of names,"),
        ({"names": "x"}, "names takes a list; got str"),
        ({"names": [1]}, "names takes names with letters or digits; got 1"),
        ({"allow": ["__"]}, "allow takes names with letters or digits; got '__'"),
        ({"paths": ["customer.name"]}, "paths takes texts like 'kwargs.customer.name'"),
        ({"paths": ["kwargs"]}, "got 'kwargs'"),
        ({"paths": ["kwargs..x"]}, "got 'kwargs..x'"),
        ({"emails": "yes"}, "emails takes true or false"),
        ({"patterns": ["x"]}, "patterns takes tables with a name and a regex; got 'x'"),
        ({"patterns": [{"name": "a", "regex": "("}]}, "the regex of pattern 'a' does not compile: "),
        ({"patterns": [{"name": "a", "regex": "x*"}]}, "the regex of pattern 'a' matches an empty text"),
    ],
)
def test_a_file_that_does_not_work(tmp_path: Path, document: Any, says: str) -> None:
    """Installing says in one line which rule of which file, and what it takes."""
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError) as caught:
        install(Celery("app"), Settings(redaction_file=path))
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, or neither JSON nor TOML."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        read_redaction(tmp_path / "nowhere.toml")
    path = tmp_path / "rules.toml"
    path.write_text("names = [")
    with pytest.raises(ConfigurationError, match=r"rules\.toml: "):
        read_redaction(path)
