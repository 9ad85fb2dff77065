"""Keepers of circuits: in this process, and in Redis."""
