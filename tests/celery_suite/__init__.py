"""Celery's own integration suite, run with and without us."""
