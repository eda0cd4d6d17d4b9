"""Numbers and results in words: one voice for the terminal, the report and the verdict's rule.

Numbers keep the digits a reader can use. A space stands before the percent sign, a true minus
before negative numbers.
"""

from math import floor, isfinite, log10

from experiments.analysis.readout import Comparison, Diluted, Readout, Word
from experiments.evidence.compare import Interval
from experiments.metrics import Metric

MINUS = "−"


def percent(share: float, *, signed: bool = False) -> str:
    """A share as a percentage with two useful digits.

    >>> percent(0.1234), percent(-0.05, signed=True), percent(1.17451), percent(0.0004)
    ('12 %', '−5.0 %', '117 %', '0.040 %')
    """
    value = share * 100
    digits = 0 if abs(value) >= 9.95 or value == 0 else max(0, 1 - _magnitude(value))
    return _signed(value, f"{abs(value):,.{digits}f}", signed) + " %"


def number(value: float, *, signed: bool = False) -> str:
    """A quantity with about four useful digits and at most six decimals, thousands separated.

    >>> number(0.65279), number(1234567.8), number(-2.5, signed=True), number(1e-9)
    ('0.6528', '1,234,568', '−2.5', '0')
    """
    if value == 0:
        return "0"
    digits = min(max(0, 3 - _magnitude(value)), 6)
    text = f"{abs(value):,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return _signed(value, text, signed)


def count(n: float) -> str:
    """A number of units.

    >>> count(21306)
    '21,306'
    """
    return f"{n:,.0f}"


def pvalue_text(pvalue: float | None) -> str:
    """A p-value with two digits; tiny ones as a bound.

    >>> pvalue_text(0.0432), pvalue_text(1.2e-112), pvalue_text(0.00002)
    ('0.043', '< 0.000001', '0.00002')
    """
    if pvalue is None:
        return "none"
    if pvalue < 1e-6:
        return "< 0.000001"
    digits = max(2, 1 - _magnitude(pvalue))
    text = f"{pvalue:.{digits}f}"
    return text.rstrip("0").rstrip(".") if pvalue < 0.01 else text


def chance(share: float) -> str:
    """A probability as a percentage that never claims certainty.

    >>> chance(0.99999), chance(0.953), chance(0.0002)
    ('> 99.9 %', '95 %', '< 0.1 %')
    """
    if share > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if share < 0.001 else percent(share)


def p_is(pvalue: float | None) -> str:
    """ "p = 0.043" or "p < 0.000001"."""
    text = pvalue_text(pvalue)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def level(metric: Metric, value: float, *, signed: bool = False) -> str:
    """A mean in the metric's own terms: a share for proportions, its unit otherwise."""
    if metric.kind == "proportion":
        text = percent_precise(value, signed=signed)
        # The difference of two percentages is not itself a percentage of anything.
        return text.replace(" %", " pp") if signed else text
    return number(value, signed=signed) + (f" {metric.unit}" if metric.unit else "")


def percent_precise(share: float, *, signed: bool = False) -> str:
    """A share with two decimals, for columns of shares that are compared with each other.

    >>> percent_precise(0.10617)
    '10.62 %'
    """
    value = share * 100
    return _signed(value, f"{abs(value):,.2f}", signed) + " %"


def span(interval: Interval) -> str:
    """The relative interval as "4 % to 20 %", or what is known instead."""
    if interval.ci_lower is None or interval.ci_upper is None:
        return "unbounded"
    return f"{percent(interval.ci_lower)} to {percent(interval.ci_upper)}"


def level_span(metric: Metric, interval: Interval) -> str:
    """The absolute interval in the metric's terms."""
    if interval.ci_lower is None or interval.ci_upper is None:
        return "unbounded"
    lower, upper = (
        level(metric, bound, signed=True) for bound in (interval.ci_lower, interval.ci_upper)
    )
    return f"{lower} to {upper}"


def sentence(comparison: Comparison, *, control: str) -> str:
    """One comparison as a person would say it.

    `reminder raised revenue by 12 % (4 % to 20 %).`
    """
    metric, variant = comparison.metric, comparison.variant
    label, lift = metric.label, comparison.effect.lift_rel
    match comparison.verdict.word:
        case Word.WITHHELD:
            return f"{variant} on {label}: withheld; {comparison.verdict.rule}."
        case Word.EFFECT:
            return _effect_sentence(comparison)
        case Word.NO_EFFECT:
            return f"{variant}: no effect on {label} detected; {comparison.verdict.rule}."
        case Word.NO_MEANINGFUL_EFFECT:
            return f"{variant}: no meaningful effect on {label}; {comparison.verdict.rule}."
        case Word.HARM:
            means = f"{level(metric, comparison.treatment)} against "
            means += level(metric, comparison.control)
            return f"{variant} harms the guardrail {label}: {means}."
        case Word.SAFE | Word.UNCLEAR:
            word = comparison.verdict.word.value
            return f"{variant} on {label}: {word}; {comparison.verdict.rule}."
        case Word.INCONCLUSIVE:
            known = (
                f"anything from {percent(lift.ci_lower, signed=True)} to"
                f" {percent(lift.ci_upper, signed=True)} against {control} is possible"
                if lift.ci_lower is not None and lift.ci_upper is not None
                else comparison.verdict.rule
            )
            return f"{variant} on {label}: inconclusive; {known}."


def srm_sentence(readout: Readout) -> str:
    """What the sample ratio says, with the numbers.

    `Sample ratio: 5,212 / 4,788 against 50 % / 50 % (p = 0.00002). No verdict is shown; look for
    units lost or counted twice in one variant.` What is counted may be clusters or coins.
    """
    srm, order = readout.srm, list(readout.n)
    total = sum(srm.expected.values())
    found = " / ".join(count(srm.observed[name]) for name in order)
    planned = " / ".join(f"{srm.expected[name] / total * 100:.4g} %" for name in order)
    text = f"Sample ratio: {found} against {planned} ({p_is(srm.deciding_pvalue)})."
    if not readout.mismatches:
        return text + " As planned."
    if srm.passed:
        text += f" Not as planned among: {', '.join(readout.quality.off_plan)}."
    if readout.quality.acknowledged:
        return f"{text} Acknowledged, with the cause: {readout.quality.acknowledged}."
    return text + (
        f" No verdict is shown; look for {readout.counted} lost or counted twice in one variant."
    )


def summary(readout: Readout) -> list[str]:
    """What a reader must take away, a sentence each: see `to_tell`; a mismatch stands alone."""
    if readout.is_withheld:
        return [srm_sentence(readout)]
    if readout.awaited:
        return [capital(readout.awaited) + "."]
    return [sentence(entry, control=readout.control) for entry in to_tell(readout)]


def to_tell(readout: Readout) -> list[Comparison]:
    """What the first words are about: primary metrics, then every guardrail that is harmed."""
    primary = [
        entry
        for entry in readout.comparisons
        if entry.metric.role == "primary" or len(readout.metrics) == 1
    ]
    harmed = [
        entry
        for entry in readout.comparisons
        if entry.verdict.word is Word.HARM and entry not in primary
    ]
    return [*primary, *harmed]


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def reduction(share: float) -> str:
    """The share of variance removed; a covariate that explains nothing may cost a trace.

    >>> reduction(0.482), reduction(0.0004), reduction(-0.000001)
    ('48 %', 'less than 0.1 %', 'less than 0.1 %')
    """
    return percent(share) if share >= 0.001 else "less than 0.1 %"


def all_notes(readout: Readout) -> list[str]:
    """Everything to know beside the numbers: of the data, of a comparison, of its adjustment."""
    notes = list(readout.notes)
    for entry in readout.comparisons:
        where = f"{entry.metric.label}, {entry.variant}"
        if entry.verdict.word is Word.INCONCLUSIVE and entry.visible_lift is not None:
            seen = percent(entry.visible_lift)
            many = f"so many {readout.counted} show lifts from ±{seen} on"
            notes.append(f"{where}: {many} with a power of 80 %")
        notes += [f"{where}: {note}" for note in entry.notes]
        if entry.metric.covariates and not readout.is_withheld and not readout.awaited:
            notes.append(f"{where}: {cuped_note(entry)}")
        if entry.final is not None and not readout.is_withheld:
            notes.append(f"{where}: {final_note(entry)}")
        if entry.diluted is not None and not readout.is_withheld:
            notes.append(f"{where}: {diluted_note(entry.metric, entry.diluted)}")
    return notes


def cuped_note(entry: Comparison) -> str:
    """What adjusting by covariates did, with the unadjusted effect beside it."""
    if not entry.cuped.applied:
        return f"not adjusted: {entry.cuped.note}"
    plain = entry.unadjusted.lift_rel
    without = "none" if plain.estimate is None else percent(plain.estimate, signed=True)
    return (
        f"CUPED {entry.cuped.note} removed {reduction(entry.cuped.variance_reduction)} of the"
        f" variance; unadjusted lift {without} ({span(plain)})"
    )


def final_note(entry: Comparison) -> str:
    """The estimate to report of a test that stopped at a look, and why it is another one."""
    final = entry.final
    assert final is not None
    gain = final.effect.estimate or 0.0
    return (
        f"stopped at look {final.stopped_at}, median-unbiased difference"
        f" {level(entry.metric, gain, signed=True)} ({level_span(entry.metric, final.effect)},"
        f" stage-wise, {p_is(final.pvalue)}): stopping early favours lucky estimates, this one is"
        " too high as often as too low"
    )


def diluted_note(metric: Metric, found: Diluted) -> str:
    """The effect on everybody of a triggered comparison, or why it has none."""
    if found.effect is None or found.share is None:
        return f"not carried over to everybody: {found.why_not}"
    lift = found.effect.lift_abs
    shown = level(metric, lift.estimate or 0.0, signed=True)
    pvalue = None if found.validity is None else found.validity.complement_pvalue
    others = "the others do not vary" if pvalue is None else f"among the others {p_is(pvalue)}"
    return (
        f"on everybody, of whom {percent(found.share)} could be reached, the difference is {shown}"
        f" ({level_span(metric, lift)}); {others}, as where nothing was changed"
    )


def _effect_sentence(comparison: Comparison) -> str:
    metric, effect = comparison.metric, comparison.effect
    lift, gain = effect.lift_rel, effect.lift_abs.estimate or 0.0
    verb = "raised" if gain > 0 else "lowered"
    by = level(metric, abs(gain), signed=True).lstrip("+")
    if lift.estimate is not None and lift.is_bounded:
        sign = 1 if gain > 0 else -1
        assert lift.ci_lower is not None
        assert lift.ci_upper is not None
        bounds = sorted(sign * bound for bound in (lift.ci_lower, lift.ci_upper))
        by = f"{percent(abs(lift.estimate))} ({percent(bounds[0])} to {percent(bounds[1])})"
    news = "" if (gain > 0) == (metric.better == "higher") else ", which is worse"
    return f"{comparison.variant} {verb} {metric.label} by {by}{news}."


def _magnitude(value: float) -> int:
    assert isfinite(value)
    return floor(log10(abs(value)))


def _signed(value: float, text: str, signed: bool) -> str:
    is_zero = not any(digit in text for digit in "123456789")
    if is_zero:
        return text
    if value < 0:
        return MINUS + text
    return "+" + text if signed else text
