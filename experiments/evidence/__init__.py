"""Estimates into intervals, p-values and verdicts that hold. Begin with `compare`.

Everything takes `Estimates` (two means and how they vary) and most of it gives a `Test`: how many
standard errors are too far, and a p-value. `absolute_lift` and `relative_lift` (Fieller) turn any
test's critical value into intervals, so that every kind of evidence agrees with its own p-value.

compare           welch, normal (estimates, *, alpha) -> Test
                  welch_one_sided, normal_one_sided (estimates, *, alpha, alternative="greater")
                  absolute_lift, relative_lift (estimates, *, critical) -> Interval
                  one_sided(interval, *, alternative) -> Interval with one bound
sequential        always_valid(estimates, *, alpha, planned_sample) -> Test
                  always_valid_one_sided(estimates, *, alpha, planned_sample, alternative) -> Test
                  log_e_value(z, *, n, rho2), running_pvalue(log_e_values) -> float
looks             confidence_sequence(looks, *, alpha, planned_sample) -> ConfidenceSequence
                      .looks: Look(n, test, absolute, relative, running_pvalue, absolute_so_far,
                      relative_so_far); .last; .contradicts_itself
conversions       exact_conversions(control, treatment, *, treatment_share, alpha,
                      planned_conversions) -> ExactConversions(log_e_value, pvalue, relative,
                      absolute): any count, any number of looks; for under FEW_CONVERSIONS (50)
spending          Spending(kind, parameter=None).spent(fraction, *, alpha); kinds obrien_fleming,
                      pocock, power, hsd; spending_from(value) reads the form users write
boundaries        boundaries(information, *, spent) -> two-sided critical values; crossing(...)
group_sequential  GroupSequentialPlan(*, alpha, spending, futility_below=None)
                  information_fractions(looks, *, planned_variance | planned_sample) -> fractions
                  group_sequential(looks, *, plan, fractions, is_final=False, better="higher",
                      planned_effect=None) -> GroupSequentialTest
                      .test (a Test), .running_pvalue, .criticals, .spent, .crossed_at,
                      .conditional_power, .conditional_power_planned, .is_futile
stopped           final_estimate(looks, *, plan, fractions, is_final=True) -> FinalEstimate(effect,
                      pvalue, stopped_at): median-unbiased, with interval
bayes             Prior(mean, variance, relative=False)
                  posterior(estimates, *, prior=None, better, rope=None, alpha=0.05) -> Posterior |
                      None (p_better, expected_loss, expected_loss_of_control, mean, deviation,
                      credible, rope_share); flat_prior_posterior; posteriors(...) on arrays
priors            fitted_prior(effects, variances, *, method="paule-mandel", relative) -> Prior
best              chances_of_being_best(means, deviations, *, better="higher") -> tuple[float, ...]
beta_binomial     conversion_posterior(*, control=(conversions, units), treatment, prior, better)
                      -> BetaPosterior; chance_of_exceeding(a, b, other_a, other_b) on arrays
multiplicity      adjusted_pvalues(pvalues, *, correction) holm, bh, by, bonferroni, none
                  adjusted_e_values(log_e_values) -> adjusted p-values (e-BH)
                  interval_alphas(pvalues, *, correction, alpha) -> level of each interval
dunnett           dunnett(estimates, *, alpha) -> list[Test], all with one shared critical value
families          judged_families(claims, *, alpha, primary="holm" | ... | "dunnett") ->
                      list[Judged(claim, pvalue_adjusted, is_found, interval_alpha, watermark)]
equivalence       Margin(size, relative); non_inferiority(estimates, *, margin, alpha, better,
                      one_sided_test), equivalence(...) -> Shown(is_shown, pvalue, interval,
                      why_not); guardrail(estimates, *, alpha, better, margin=None,
                      one_sided_test=welch_one_sided) -> Guardrail(word harm | safe | unclear, rule)
srm               sample_ratio(observed, *, weights, earlier=(), watched=False,
                      planned_sample=None, alarm_below=0.001) -> SampleRatio
populations       sample_ratios([Population(name, dimension, looks)], *, weights, watched=True,
                      planned_sample) -> tuple[PopulationRatio(population, ratio, vetoes)]
"""
