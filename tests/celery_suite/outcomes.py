"""What pytest's JUnit file says about each test, and how two runs differ; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_WORST_FIRST = ("error", "failure", "skipped")


@dataclass(frozen=True, slots=True)
class Difference:
    """One test that ends differently.

    Attributes:
        test: Module, class and name.
        plain: How it ended without us.
        ours: How it ended with us.
    """

    test: str
    plain: str
    ours: str

    @property
    def is_loss(self) -> bool:
        """Whether it passed without us, and does not with us."""
        return self.plain == "passed" and self.ours != "passed"


def outcomes(file: Path) -> dict[str, str]:
    """Outcome by test; of several entries (subtests, an error in the teardown) the worst counts."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(file).iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        outcome = next((tag for tag in _WORST_FIRST if case.find(tag) is not None), "passed")
        known = found.get(test, outcome)
        found[test] = min(outcome, known, key=lambda one: (*_WORST_FIRST, "passed").index(one))
    return found


def differences(plain: Mapping[str, str], ours: Mapping[str, str]) -> list[Difference]:
    """Every test that ended differently, or in one run only."""
    return [
        Difference(test, plain.get(test, "not run"), ours.get(test, "not run"))
        for test in sorted(plain.keys() | ours.keys())
        if plain.get(test) != ours.get(test)
    ]
