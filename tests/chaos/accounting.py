"""Counting (pure): what became of every message."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.plan import Blow, Job
from tests.chaos.system import Line, Row


@dataclass(frozen=True)
class Account:
    """Every job by its fate.

    Attributes:
        succeeded: Its body came to its end, and no record says otherwise: none, one resolved, one marked as conflict.
        dead: In the ledger, and its body never came to its end.
        ended_unheard: In the ledger, and every run that came to its end was the last one of a process that was killed.
            Nobody but the body knows of that success, so the record has to stand.
        both: In the ledger as failed though a run succeeded, unexplained.
        missing: Sent, and neither succeeded nor in the ledger.
        recorded_twice: More than one record.
        strayed: Records of messages that nobody sent.
        ran_again: Jobs of which the same attempt began more than once.
        appeared: Unsure sends whose message existed.
    """

    sent: int
    unsure: int
    succeeded: Set[int]
    dead: Set[int]
    ended_unheard: Set[int]
    both: Set[int]
    missing: Set[int]
    recorded_twice: Set[int]
    strayed: Sequence[str]
    ran_again: Set[int]
    appeared: Set[int]
    kinds: Mapping[str, int]

    @property
    def is_settled(self) -> bool:
        """Whether nothing sent is without an end yet."""
        return not self.missing


def account(sent: Set[int], unsure: Set[int], lines: Sequence[Line], rows: Sequence[Row], killed: Set[int]) -> Account:
    """Sort every job by its fate."""
    ended: dict[int, set[int]] = defaultdict(set)
    begun: Counter[tuple[int, int]] = Counter()
    last_of = {line.pid: line.number for line in lines}
    for line in lines:
        if line.what == "ended":
            ended[line.number].add(line.pid)
        else:
            begun[line.number, line.retries] += 1
    by_number: dict[int, list[Row]] = defaultdict(list)
    strayed = []
    for row in rows:
        number = int(row.task_id.removeprefix("job-")) if row.task_id.startswith("job-") else -1
        if number in sent or number in unsure:
            by_number[number].append(row)
        else:
            strayed.append(row.message_id)
    failed = {number for number, found in by_number.items() if not any(map(_is_undone, found))}
    contradictory = failed & ended.keys()
    unheard = {
        number for number in contradictory if all(pid in killed and last_of[pid] == number for pid in ended[number])
    }
    return Account(
        sent=len(sent),
        unsure=len(unsure),
        succeeded=ended.keys() - failed,
        dead=by_number.keys() - ended.keys(),
        ended_unheard=unheard,
        both=contradictory - unheard,
        missing=sent - ended.keys() - by_number.keys(),
        recorded_twice={number for number, found in by_number.items() if len(found) > 1},
        strayed=strayed,
        ran_again={number for (number, _), times in begun.items() if times > 1},
        appeared=unsure & (ended.keys() | by_number.keys()),
        kinds=Counter(row.kind for row in rows),
    )


def _is_undone(row: Row) -> bool:
    """Whether a record says itself that a run succeeded."""
    return row.status == "RESOLVED" or bool(row.conflict)


def unexpected(jobs: Sequence[Job], rows: Sequence[Row]) -> list[Row]:
    """Records of a kind that neither the job's plan nor a kill explains."""
    doomed = {job.task_id for job in jobs if job.doomed}
    violent = {"worker_lost", "poison_suspect"}
    return [row for row in rows if row.kind not in violent | ({"non_retryable"} if row.task_id in doomed else set())]


@dataclass(frozen=True)
class Report:
    """One run, to be printed."""

    broker: str
    seed: int
    blows: Sequence[Blow]
    account: Account
    audit: Mapping[str, Any]
    seconds: float
    unexpected: Sequence[Row] = field(default=())

    def __str__(self) -> str:
        found = self.account
        lines = [
            f"{self.broker}, seed {self.seed}, {self.seconds:.0f} s",
            *(f"  after {blow.after} runs: {blow.fault} ({blow.choice})" for blow in self.blows),
            f"sent {found.sent}, not known whether sent {found.unsure} ({len(found.appeared)} were)",
            f"succeeded {len(found.succeeded)}",
            f"dead {len(found.dead)}, ended unheard {len(found.ended_unheard)}  {dict(found.kinds)}",
            f"ran more than once {len(found.ran_again)}",
            f"missing {_named(found.missing)}, in both {_named(found.both)}, recorded twice "
            f"{_named(found.recorded_twice)}, strayed {len(found.strayed)}",
            f"audit { {name: figure for name, figure in self.audit.items() if not isinstance(figure, list)} }",
            *(f"unexpected: {row}" for row in self.unexpected[:10]),
        ]
        return "\n".join(lines)


def _named(numbers: Set[int]) -> str:
    return f"{len(numbers)} {sorted(numbers)[:20]}" if numbers else "0"
