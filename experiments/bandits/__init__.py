"""Allocation that learns, and reading what it collected without bias.

A bandit moves traffic to what seems better, so each arm's units come from other days: the mean of
an arm over all of them mixes what the arm does with when it was used, and nothing here gives it.
Every decision keeps the probability vector it was made by; only cohorts whose windows have all
closed are learnt from and read. Read next: `beliefs` (who is best), `policies` (the next vector),
`log` and `columns` (decisions into sums), `ratios` (were the chances kept), `learning` (sums into
beliefs), `weighted` and `batched` (sums into `Estimates`), `off_policy` (what another policy would
have been worth); and where the arm follows a context: `contextual_worth` (does that pay at all),
`contextual` (chances by context), `contextual_log` and `contextual_inference` (into `Estimates`).
"""
