"""The circuits of the gated app, for the worker and for the test that works them."""

from __future__ import annotations

from fluxora_tasks import BreakerPolicy

#: One probe that succeeds closes it.
GATE = BreakerPolicy(cooldown=1.0, probes=1, probes_required=1, jitter=0.0)

#: Six failures without a success open it, for long.
FRAGILE = BreakerPolicy(all_failed=6, min_calls=1000, cooldown=300.0)
