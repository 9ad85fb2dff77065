"""Our toggles as a provider for OpenFeature [openfeature-sdk].

from openfeature import api
from fluxora_tasks.fallback.openfeature import FluxoraProvider

api.set_provider(FluxoraProvider())
api.get_client().get_boolean_value("recommendations", True)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from fluxora_tasks import events
from fluxora_tasks.errors import MissingExtra
from fluxora_tasks.events import ToggleChanged
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.registry import toggles
from fluxora_tasks.fallback.toggles import SwitchKind, is_among
from fluxora_tasks.fallback.view import Rule

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason
    from openfeature.provider import AbstractProvider, Metadata
except ImportError as exc:
    raise MissingExtra("toggles", "the OpenFeature provider") from exc

_PREFIX = f"{SwitchKind.TOGGLE}:"


class FluxoraProvider(AbstractProvider):
    """Boolean flags are toggles; a flag that nobody set is not found, so the caller's default holds.

    A percentage is decided by the targeting key. There are no flags of other types.

    Args:
        source: The toggles; ``None``: those of this process.
    """

    def __init__(self, source: Toggles | None = None) -> None:
        super().__init__()
        self._source = source
        self._unsubscribe: Callable[[], None] | None = None

    def get_metadata(self) -> Metadata:
        """Its name."""
        return Metadata(name="fluxora-tasks")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Tell OpenFeature of changes from now on."""
        self.shutdown()
        self._unsubscribe = events.subscribe(self._on_event)

    def shutdown(self) -> None:
        """Tell it no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """
        The toggle of that name. No I/O.

        Raises:
            FlagNotFoundError: nobody set it.
            TargetingKeyMissingError: it is a percentage, and there is no key to decide by.
        """
        rule = self._rule(flag_key)
        if rule is None:
            raise FlagNotFoundError(f"no toggle is called {flag_key!r}")
        metadata = {"level": rule.level} if rule.level else {}
        if rule.percent is None:
            return _details(rule.value == "on", Reason.STATIC, metadata)
        key = evaluation_context.targeting_key if evaluation_context is not None else None
        if not key:
            raise TargetingKeyMissingError(f"{flag_key!r} is on for {rule.value} of the keys")
        return _details(is_among(flag_key, key, rule.percent), Reason.SPLIT, metadata)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Never a value."""
        self._refuse(flag_key)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Never a value."""
        self._refuse(flag_key)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Never a value."""
        self._refuse(flag_key)

    def resolve_object_details(
        self, flag_key: str, default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[Any] | Mapping[str, Any]]:  # fmt: skip
        """Never a value."""
        self._refuse(flag_key)

    def _rule(self, flag_key: str) -> Rule | None:
        return (self._source if self._source is not None else toggles()).toggle(flag_key)

    def _refuse(self, flag_key: str) -> NoReturn:
        if self._rule(flag_key) is None:
            raise FlagNotFoundError(f"no toggle is called {flag_key!r}")
        raise TypeMismatchError(f"{flag_key!r} is a toggle, which is a boolean")

    def _on_event(self, event: Any) -> None:
        if isinstance(event, ToggleChanged) and event.name.startswith(_PREFIX):
            changed = [event.name.removeprefix(_PREFIX)]
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))


def _details(value: bool, reason: Reason, metadata: Mapping[str, str]) -> FlagResolutionDetails[bool]:
    return FlagResolutionDetails(value, reason=reason, variant="on" if value else "off", flag_metadata=metadata)
