"""Which failures are alike: version 1 of the rules, those of the application, and why a failure is where it is (pure).

``rulefile`` alone reads a file.
"""

from fluxora_tasks.deadletter.grouping.explanation import explain
from fluxora_tasks.deadletter.grouping.facts import ErrorFacts, FailureFacts
from fluxora_tasks.deadletter.grouping.letters import detail_in, fingerprint_of_letter
from fluxora_tasks.deadletter.grouping.parameters import parameterise
from fluxora_tasks.deadletter.grouping.rulefile import read_grouping
from fluxora_tasks.deadletter.grouping.rules import BUILT_IN, Grouping, Rule, grouping_of
from fluxora_tasks.deadletter.grouping.version1 import fingerprint_of

__all__ = [
    "BUILT_IN",
    "ErrorFacts",
    "FailureFacts",
    "Grouping",
    "Rule",
    "detail_in",
    "explain",
    "fingerprint_of",
    "fingerprint_of_letter",
    "grouping_of",
    "parameterise",
    "read_grouping",
]
