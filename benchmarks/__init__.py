"""What Fluxora Tasks costs, measured beside plain Celery in one run: ``python -m benchmarks [row…]``.

A side is plain Celery, or the same with ``install(app)``; a round measures each once. The order turns with each round
(A B, B A, …), so that a machine that gets slower favours nobody. Nothing here passes or fails.
"""
