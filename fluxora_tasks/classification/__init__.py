"""What a failure means, for breaker, retry, fallback and capture alike (pure).

The table is data: qualified class names, so that no library is imported to recognise its errors.
"""

from fluxora_tasks.classification.causes import causes_of
from fluxora_tasks.classification.classifier import Classifier, classify
from fluxora_tasks.classification.hints import retry_after_of
from fluxora_tasks.classification.outcome import REPEATABLE, Outcome, Rule, qualified_name
from fluxora_tasks.classification.status import of_status
from fluxora_tasks.classification.table import DEFAULT_RULES
from fluxora_tasks.classification.timeouts import is_timeout

__all__ = [
    "DEFAULT_RULES",
    "REPEATABLE",
    "Classifier",
    "Outcome",
    "Rule",
    "causes_of",
    "classify",
    "is_timeout",
    "of_status",
    "qualified_name",
    "retry_after_of",
]
