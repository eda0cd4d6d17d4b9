"""What to know before the start: how many units, how small an effect, how many days.

- `power`           Outcome, Design -> sample size, smallest detectable lift (MDE), achieved power
- `non_inferiority` the same for "not worse by more than a margin", one-sided
- `arms`            several treatments beside one control: critical value and best allocation
- `looks`           what the right to look several times costs in sample (group sequential)
- `design_effects`  ratios and clusters: how much more a unit's outcome varies than it seems
- `arrivals`        when the units come -> duration in whole weeks, MDE by day
- `resampling`      the same answer by resampling the past, for metrics that formulas flatter

All shares are in [0, 1], lifts relative (0.1 is +10 %). Begin with `power`.
"""
