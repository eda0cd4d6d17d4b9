"""What another policy would have been worth, in words, for the terminal, Markdown and programs."""

from typing import Any, Final

from experiments.bandits.judging import Judged, Worth
from experiments.bandits.policy_contrasts import Contrast
from experiments.evidence.compare import Interval
from experiments.reporting.words import MINUS, count, p_is, percent

NAMES: Final = {
    "ipw": "inverse chances (IPW)",
    "self_normalised": "self-normalised (SNIPW)",
    "doubly_robust": "doubly robust (DR)",
}
CAUTION: Final = (
    "Values are of the policy on the units of this log: who else it would reach, and what changed"
    " since, it cannot tell. Test it before it stays."
)


def policy_text(found: Judged, *, title: str, arms: tuple[str, ...], markdown: bool = False) -> str:
    """Whether the log can judge the policy, and what it says."""
    checked = found.positivity
    shares = ", ".join(
        f"{arm} {percent(share)}" for arm, share in zip(arms, found.target_shares, strict=True)
    )
    lines = [f"## {title}" if markdown else title, "" if markdown else "=" * len(title)]
    lines += [
        verdict(found),
        "",
        f"- the policy would give {shares}",
        f"- {count(checked.n)} units of {count(found.n_clusters)} clusters are worth"
        f" {count(round(checked.effective_sample))} under it; the largest weight is"
        f" {checked.max_weight:.3g}",
        f"- mean outcome as it ran: {found.logged_mean:.6g}",
        "",
    ]
    if found.worths:
        lines += _table(found, markdown=markdown)
        lines += ["", f"- {CAUTION}"]
    return "\n".join(lines) + "\n"


def verdict(found: Judged) -> str:
    """One sentence: better, worse, not told apart, or not to be judged."""
    if found.positivity.why_not:
        return f"Cannot be judged from this log: {found.positivity.why_not}."
    known = [it.gain for it in found.worths if it.gain is not None]
    if all((it.ci_lower or 0) > 0 for it in known):
        return "Better than what ran, by every way of reading it."
    if all((it.ci_upper or 0) < 0 for it in known):
        return "Worse than what ran, by every way of reading it."
    return "Not told apart from what ran."


def policy_json(found: Judged, *, arms: tuple[str, ...], metric: str) -> dict[str, Any]:
    """The same as plain data."""
    checked = found.positivity
    return {
        "metric": metric,
        "verdict": verdict(found),
        "refused": checked.why_not or None,
        "n": checked.n,
        "clusters": found.n_clusters,
        "effective_sample": checked.effective_sample,
        "max_weight": checked.max_weight,
        "unsupported_share": checked.unsupported_share,
        "target_shares": dict(zip(arms, found.target_shares, strict=True)),
        "logged_mean": found.logged_mean,
        "alpha": found.alpha,
        "values": {it.method: _worth(it) for it in found.worths},
    }


def contrast_text(found: Contrast, *, markdown: bool = False) -> str:
    """What a policy gains over another fixed one, whose log adapted."""
    title = f"Against {found.against}, versions weighed by {found.weights_by}"
    lines = ["", f"### {title}" if markdown else title, ""]
    if found.gain is None or found.relative_gain is None:
        return "\n".join([*lines, f"- Cannot be told from this log: {found.why_not}."]) + "\n"
    assert found.estimates is not None
    sure = percent(1 - found.alpha)
    lines += [
        f"- worth {found.estimates.treatment:.5g} against {found.estimates.control:.5g}, over"
        f" {count(found.n_versions)} versions",
        f"- gain {_spread(found.gain)} ({sure} interval); {p_is(found.pvalue)}",
    ]
    if found.relative_gain.is_bounded:
        lines.append(f"- relative gain {_shares(found.relative_gain)}")
    return "\n".join(lines) + "\n"


def contrast_json(found: Contrast) -> dict[str, Any]:
    """The same as plain data."""
    told = found.estimates
    return {
        "weights_by": found.weights_by,
        "against": found.against,
        "versions": found.n_versions,
        "alpha": found.alpha,
        "refused": found.why_not or None,
        "value": None if told is None else told.treatment,
        "against_value": None if told is None else told.control,
        "gain": _ends(found.gain),
        "relative_gain": _ends(found.relative_gain),
        "pvalue": found.pvalue,
    }


def _ends(it: Interval | None) -> dict[str, Any] | None:
    if it is None:
        return None
    return {"estimate": it.estimate, "ci_lower": it.ci_lower, "ci_upper": it.ci_upper}


def _spread(it: Interval) -> str:
    low, high = (
        "unbounded" if each is None else _signed(each) for each in (it.ci_lower, it.ci_upper)
    )
    return f"{_signed(it.estimate or 0.0)}, {low} to {high}"


def _signed(value: float) -> str:
    return f"{value:+.5g}".replace("-", MINUS)


def _shares(it: Interval) -> str:
    ends = [it.estimate, it.ci_lower, it.ci_upper]
    first, low, high = ("unknown" if each is None else percent(each) for each in ends)
    return f"{first}, {low} to {high}"


def _worth(it: Worth) -> dict[str, Any]:
    if it.value is None or it.gain is None:
        return {"why_not": it.why_not}
    return {
        name: {
            "estimate": each.estimate, "ci_lower": each.ci_lower, "ci_upper": each.ci_upper,
        }
        for name, each in (("value", it.value), ("gain", it.gain))
    }  # fmt: skip


def _table(found: Judged, *, markdown: bool) -> list[str]:
    sure = percent(1 - found.alpha)
    head = ["read by", "value", f"{sure} interval", "gain", f"{sure} interval"]
    body = []
    for it in found.worths:
        if it.value is None or it.gain is None:
            body.append([NAMES[it.method], "none", it.why_not, "", ""])
            continue
        cells = [NAMES[it.method]]
        for each, sign in ((it.value, ""), (it.gain, "+")):
            low, high = each.ci_lower or 0.0, each.ci_upper or 0.0
            cells += [f"{each.estimate:{sign}.5g}", f"{low:{sign}.5g} to {high:{sign}.5g}"]
        body.append(cells)
    if markdown:
        rules = "|".join("---" for _ in head)
        return [f"| {' | '.join(row)} |" for row in [head]] + [f"|{rules}|"] + [
            f"| {' | '.join(row)} |" for row in body
        ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in [head, *body]
    ]
