"""The message's side of Celery: what happens in the worker's main process."""
