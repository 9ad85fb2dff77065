"""Accounting under faults: a seeded run in which parts of a system die, and a count of every message afterwards."""
