"""Many experiments together: what the whole was worth, and what each one means beside the others.

- `meta`         effects of several experiments -> their mean, their spread, each one shrunk
- `holdout`      held-out against everyone else -> total impact, per unit, relative; additivity
- `reconcile`    the sum of what each shipped part was worth, beside what the holdout measured
- `heterogeneity` effects per level of declared dimensions -> do they differ at all?
- `honest_tree` units whose effects differ, searched for on one half and judged by the other
- `novelty`      effects by time since exposure -> does it wear off, does it grow?
- `interactions` two experiments on the same people -> does one change the other's effect?
- `contamination` units of one comparison that something else touched

Everything takes `Aggregates` or `Estimates`; only `honest_tree`, which divides units anew, reads
their rows. Begin with `meta`.
"""
