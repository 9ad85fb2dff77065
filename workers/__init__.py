"""The example workers: a Celery application and a pipeline on real electricity demand."""
