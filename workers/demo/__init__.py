"""The demo: the whole way from a task to a replayed dead letter, on real demand, started by one command."""

from workers.demo.acts import run

__all__ = ["run"]
