"""Bulk operations: many dead letters, one plan, one pace, one outcome for each.

Decided in ``operation`` and ``pacing``, kept by ``store``, done by ``executor``.
"""
