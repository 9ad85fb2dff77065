"""The fallback of a task, around its retries: for when no attempt is left, a circuit refuses, or somebody orders it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fluxora_tasks.classification import Classifier
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.fallback import Fallback, FallbackOutcome, FallbackStrategy, Step, forget_outcome
from fluxora_tasks.fallback.toggles import Mode
from fluxora_tasks.task import ending

#: On a request: the circuit that refused it, as (name, state, retry_after). The worker sets it; it is in no message.
REFUSED: Final = "fx_refused"

#: On a request: the fallback was asked already.
_ASKED: Final = "_fx_asked"


class TaskFallback:
    """
    What a task gives instead of a result.

    Args:
        task: Its name.
        strategy: What gives the value.
        classifier: Tells what a failure means.
        is_gated: Whether the worker asks circuits before a run, and is who says that they refused.
    """

    def __init__(self, task: str, strategy: FallbackStrategy | Step, classifier: Classifier, is_gated: bool) -> None:
        self._fallback = Fallback(task, strategy, classifier)
        self._is_gated = is_gated

    def instead(self, request: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FallbackOutcome | None:
        """
        What is given without calling the body; ``None``: call it.

        Raises:
            CircuitBreakerError: the circuit refused, and the fallback has no value or is switched off.
            NoFallbackValue: an operator wants the fallback, which has no value.
        """
        forget_outcome()
        ending.forget()
        refusal = refusal_of(request) if self._is_gated else None
        mode = self._fallback.mode(args, kwargs)
        if refusal is None and mode is not Mode.ALWAYS:
            return None
        setattr(request, _ASKED, True)
        if refusal is not None and mode is Mode.OFF:
            raise refusal
        outcome = self._fallback.run(refusal, args, kwargs)
        ending.body_not_called()
        return outcome

    def after(
        self, error: Exception, request: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], attempts: int
    ) -> FallbackOutcome | None:
        """
        What is given for a failure; ``None``: nothing, the failure stands.

        Raises:
            Exception: what a step wants raised instead.
        """
        if was_asked(request) or not self._is_wanted(error, args, kwargs):
            return None
        setattr(request, _ASKED, True)
        try:
            outcome = self._fallback.run(error, args, kwargs, attempts)
        except Exception as raised:
            if raised is error:
                return None
            raise
        ending.body_failed(error)
        return outcome

    def succeeded(self, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], since: int) -> None:
        """The body gave a result; ``since`` is ``activations()`` before."""
        self._fallback.succeeded(value, args, kwargs, since)

    def _is_wanted(self, error: Exception, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        return self._fallback.mode(args, kwargs) is not Mode.OFF and self._fallback.applies_to(error)


def was_asked(request: Any) -> bool:
    """Whether the fallback of this run was asked already."""
    return bool(getattr(request, _ASKED, False))


def refusal_of(request: Any) -> CircuitBreakerError | None:
    """The refusal that the worker found for this request."""
    refused = getattr(request, REFUSED, None)
    if not isinstance(refused, Sequence) or isinstance(refused, str) or len(refused) != 3:
        return None
    name, state, retry_after = refused
    return CircuitBreakerError(str(name), str(state), float(retry_after))
