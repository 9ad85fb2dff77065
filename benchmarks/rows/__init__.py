"""Every row, by name; a row is a module's ``ROWS``, and a new one needs no more than its entry here."""

from benchmarks.rows import cost, failing, memory, retry, throughput
from benchmarks.rows.row import Row

ROWS: dict[str, Row] = {
    row.name: row for row in (*throughput.ROWS, *failing.ROWS, *retry.ROWS, *memory.ROWS, *cost.ROWS)
}
