"""Whom a message changes, learnt from units that were randomised, and whether acting on it pays.

An effect differs between people far less surely than it exists: most rankings by predicted uplift
are noise that looks convincing on the data it was learnt from. So everything here is judged on
units that taught it nothing, against what one could do without any model, and is refused unless the
gain over each of those ways is surely above zero. The chance by which a unit was treated is the
logged one, never estimated. Read next: `units` (what is learnt from), `bases` (the regressions
within), `pseudo` (one unbiased number a unit), `learners` (T, X, DR), `effects` (a learnt model as
arrays), `qini` (how well a ranking sorts), `values` (what a policy is worth), `targeting` (all of
it together, and the rule to deploy).
"""
