"""``python -m benchmarks [row…]``: measure beside plain Celery, print, judge nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.bench import Bench
from benchmarks.machine import describe
from benchmarks.measuring import Reading, Side, order
from benchmarks.report import print_row
from benchmarks.rows import ROWS
from benchmarks.rows.row import Row


def main() -> None:
    """Measure the rows that were asked for, one after the other."""
    options = _parser().parse_args()
    console = Console(width=None if Console().is_terminal else 140)
    console.print(describe(), highlight=False)
    console.print()
    bench = Bench(options.scale)
    collected = {}
    try:
        for name in options.rows or ROWS:
            readings = measure(bench, ROWS[name], options.rounds or ROWS[name].rounds)
            print_row(console, ROWS[name], readings)
            collected[name] = readings
    finally:
        bench.close()
    if options.json:
        options.json.write_text(json.dumps(collected, indent=1))


def measure(bench: Bench, row: Row, rounds: int) -> Mapping[Side, Sequence[Reading]]:
    """Every round of one row, in balanced order."""
    readings: dict[Side, list[Reading]] = {side: [] for side in Side}
    with row.open(bench) as sides:
        for pair in order(rounds):
            for side in pair:
                readings[side].append(sides.measures[side]())
        for side, reading in (sides.at_end() if sides.at_end else {}).items():
            readings[side][-1] = {**readings[side][-1], **reading}
    return readings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", choices=[[], *ROWS], help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, help="rounds of each row")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the messages of a round")
    parser.add_argument("--json", type=Path, help="also write every reading to this file")
    return parser


if __name__ == "__main__":
    main()
