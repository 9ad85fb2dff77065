"""The commands, as plugins of ``celery`` and as ``fluxora``: both run the same functions.

Nothing is imported here: this package is loaded in every ``celery`` process.
"""
