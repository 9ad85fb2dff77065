"""Several strategies in order: the first that gives a value wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fluxora_tasks.errors import FluxoraError, NoFallbackValue
from fluxora_tasks.fallback.call import Answer, Call
from fluxora_tasks.fallback.step import Step
from fluxora_tasks.fallback.strategies import FallbackStrategy, InformedStrategy, Stopped

#: An answer, and what became of the steps before it.
Found = tuple[Answer, tuple[str, ...]]


class Exhausted(NoFallbackValue):
    """No step had a value.

    Args:
        failed: What became of each step.
        last: The error of the last one, if it was asked.
    """

    def __init__(self, failed: tuple[str, ...], last: Exception | None = None) -> None:
        super().__init__("; ".join(failed) or "All fallback strategies failed")
        self.args = (failed, last)
        self.failed, self.last = failed, last

    def __str__(self) -> str:
        return "; ".join(self.failed) or "All fallback strategies failed"


class ChainedFallback(InformedStrategy):
    """Strategies in order; a plain one has the limits that ``Step`` has by default.

    Args:
        strategies: Strategies and steps. A chain among them stands for its steps.
    """

    source = "chain"

    def __init__(self, strategies: Sequence[FallbackStrategy | Step]) -> None:
        self.strategies = list(strategies)
        self.steps = tuple(step for item in self.strategies for step in steps_of(item))
        self.learns = any(True for _ in learners_of(self.steps))

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The value of the first step that has one; else the error of the last."""
        try:
            return self.answer(Call(args=args, kwargs=kwargs)).value
        except Stopped as stopped:
            raise stopped.error or NoFallbackValue("the chain ends without a value") from None

    def answer(self, call: Call) -> Answer:
        """The answer of the first step that has one; else the error of the last."""
        try:
            return first_answer(self.steps, call)[0]
        except Exhausted as nothing:
            raise nothing.last or nothing from None

    def succeeded(self, operation: str, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Tell the steps that learn."""
        for strategy in learners_of(self.steps):
            strategy.succeeded(operation, value, args, kwargs)


def steps_of(item: FallbackStrategy | Step) -> tuple[Step, ...]:
    """The steps that a strategy stands for; a subclass that executes in its own way is one step."""
    if isinstance(item, Step):
        return (item,)
    if isinstance(item, ChainedFallback) and type(item).execute is ChainedFallback.execute:
        return item.steps
    return (Step(item),)


def learners_of(steps: Iterable[Step]) -> Iterable[InformedStrategy]:
    """Those that want to know of results."""
    return (s.strategy for s in steps if isinstance(s.strategy, InformedStrategy) and s.strategy.learns)


def first_answer(steps: Sequence[Step], call: Call) -> Found:
    """
    The first answer, and what became of the steps before it.

    Raises:
        Exhausted: no step had one.
        Stopped: a step ended the chain.
    """
    failures = _Failures()
    for step in _wanted(steps, call):
        try:
            return step.ask(call), failures.notes
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - the next step is what an error leads to
            failures.add(step, error)
    raise Exhausted(failures.notes, failures.last)


async def first_answer_async(steps: Sequence[Step], call: Call) -> Found:
    """
    Likewise, for an async call.

    Raises:
        Exhausted: no step had one.
        Stopped: a step ended the chain.
    """
    failures = _Failures()
    for step in _wanted(steps, call):
        try:
            return await step.ask_async(call), failures.notes
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - the next step is what an error leads to
            failures.add(step, error)
    raise Exhausted(failures.notes, failures.last)


def _wanted(steps: Sequence[Step], call: Call) -> Iterable[Step]:
    return (step for step in steps if step.is_for(call.error))


class _Failures:
    """What became of the steps so far."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self.last: Exception | None = None

    def add(self, step: Step, error: Exception) -> None:
        """Take note that a step had no value; the text of a foreign error is not repeated."""
        text = f": {error}" if isinstance(error, FluxoraError) else ""
        self.notes += (f"{step.name}: {type(error).__name__}{text}",)
        self.last = error
