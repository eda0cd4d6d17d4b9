"""What was learnt of people and products, as traits and blocks: arrays in, scores and picks out.

`history` reads the log as of an instant; `clusters`, `scores`, `lifetime` and `recommenders` are
pure on arrays; `registry` keeps runs and decides which is read. Begin with `refreshing`.
"""
