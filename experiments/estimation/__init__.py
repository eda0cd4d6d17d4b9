"""Sums into estimates: two means, how they vary, and together. Begin with `cuped`.

Whatever is two means to compare comes out as `estimates.Estimates`, so that every kind of evidence
works on it. What is not (a conditional test, a ratio of effects) brings its own interval and a
p-value that is under alpha exactly when the interval excludes 0. Anything too small, too weak or
too poor to estimate is a DataError that says so; what merely strains comes with `cautions`.

estimates         Estimates; satterthwaite(variances, freedoms) -> float
ratio             moments(aggregates, metric, *, covariates) -> Moments
cuped             unadjusted(control, treatment) -> Estimates, of two Moments
                  adjusted(control, treatment, *, total, adjust) -> Estimates; "lin" | "pooled"
covariates        usable(names, control, treatment) -> Usable(kept, dropped, .note): what `adjusted`
                      uses, and why not the rest (constant, collinear, one too many)
missing           filled(name, values) -> Filled(columns, covariates, n_missing): pooled mean and
                      dummy, from values per variant; `sums` does the same in SQL
strata            post_stratified(control, treatment, *, metric, covariates=(), adjust="lin")
                      -> Stratified(estimates, shares, notes); both stratum -> Aggregates; any kind
                      but quantiles, ratios included
cupac             out_of_fold(features, outcome, *, rng, folds=5, model=None, measured_at=None,
                      exposed_at=None) -> a column to adjust by
clusters          clustered(control, treatment, *, metric, covariates=(), adjust="lin")
                      -> Estimates, from Aggregates over clusters' sums (with CLUSTER_UNITS)
                  cautions(control, treatment) -> list[str]
randomization     randomization_pvalue(control, treatment, *, rng, draws=9999) -> float, from
                      (total, units) per cluster
quantile          quantiles(control, treatment) -> Estimates, of two QuantileSums
                  cautions(control, treatment) -> list[str]
proportions       successes(aggregates, column) -> Successes(n, events)
                  replaces_welch(control, treatment) -> bool: n < 1,000 or few events
                  miettinen_nurminen, newcombe, agresti_caffo (control, treatment, *, alpha)
                      -> SmallSample(lift_abs, lift_rel, pvalue, method)
counts            counted(aggregates, column) -> Counted(n, total, mean, variance, dispersion)
                  cautions(control, treatment) -> list[str]; is_rare(control, treatment) -> bool
                  exact_rate_ratio(control, treatment, *, alpha) -> RateRatio(lift_rel, pvalue,
                      method), of two Events(count, exposure)
cace              complier_effect(control, treatment, *, outcome, received, alpha, covariates=())
                      -> Complier(effect, std_error, pvalue, compliers_share, first_stage_f)
switchback        switchback(outcomes, treated, *, starts, order, alpha, rng, probabilities=0.5)
                      -> Switchback(estimates, effect, std_error, pvalue, randomization_pvalue,
                      n_washout, cautions), of periods; optimal_starts(n_periods, *, order)
triggered         diluted(triggered, *, metric, untriggered) -> Estimates: of everybody
                  validity(*, triggered, weights, control_rest, treatment_rest)
                      -> TriggerValidity(srm, complement, complement_pvalue, reasons, .passed)
"""
