"""The body's side of Celery: what happens in the process that runs the task."""
