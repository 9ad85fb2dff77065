"""Flower with pages for dead letters, behind Flower's own command.

Flower has no plugin hook. Its application is built as always; then our handlers, a navigation entry and a
template loader are added to it, so that an unknown Flower version loses these pages and nothing else.
Nothing in here is imported by a worker but ``entry`` and ``plugin``, which are a few lines.
"""
