"""A large ledger, measured beside its budgets: how long its pages take, and how fast records come and go."""
