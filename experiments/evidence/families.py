"""All claims of one experiment, each corrected within its family, so that none is counted twice.

Primary metrics decide: no false claim among them, with chance 1 - alpha. Secondary ones explain:
few of those found are false. Guardrails warn: one-sided, uncorrected, since each must pass by
itself (intersection-union). Exploratory ones suggest, and carry a watermark that says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from experiments.errors import PlanError
from experiments.evidence.multiplicity import Correction, adjusted_pvalues, interval_alphas

Family = Literal["primary", "secondary", "guardrail", "exploratory"]

PrimaryCorrection = Literal["holm", "bh", "by", "bonferroni", "dunnett", "none"]

EXPLORATORY = (
    "Exploratory: not declared before the start. Corrected for the looks taken here only; treat it"
    " as a reason for the next experiment, not as a result."
)


@dataclass(frozen=True)
class Claim:
    """One comparison that may be claimed.

    Attributes:
        pvalue: Two-sided; for a guardrail one-sided, of harm. None when nothing varies.
        dunnett_pvalue: Of this variant among all variants on its metric; needed when the primary
            family is corrected by `dunnett`.
    """

    metric: str
    variant: str
    family: Family
    pvalue: float | None
    dunnett_pvalue: float | None = None


@dataclass(frozen=True)
class Judged:
    """A claim after correction.

    Attributes:
        pvalue_adjusted: Corrected within its family.
        correction: By which way.
        is_found: Whether the corrected p-value is at most alpha.
        interval_alpha: 1 - confidence of its adjusted interval; None under `dunnett`, whose shared
            critical value makes it.
        watermark: What must stand beside it; empty for declared claims.
    """

    claim: Claim
    pvalue_adjusted: float | None
    correction: PrimaryCorrection
    is_found: bool
    interval_alpha: float | None
    watermark: str


def judged_families(
    claims: Sequence[Claim], *, alpha: float, primary: PrimaryCorrection = "holm"
) -> list[Judged]:
    """Every claim judged, in the given order.

    Args:
        primary: How the primary family is corrected. `none` switches off secondary ones too, for
            those who correct elsewhere; exploratory ones are always corrected.
    Raises:
        PlanError: If the correction is unknown, or Dunnett's p-values are missing.
    """
    if primary not in get_args(PrimaryCorrection):
        raise PlanError(
            f"correction {primary!r} is unknown; allowed are"
            f" {', '.join(get_args(PrimaryCorrection))}"
        )
    corrections: dict[Family, PrimaryCorrection] = {
        "primary": primary,
        "secondary": "none" if primary == "none" else "bh",
        "guardrail": "none",
        "exploratory": "bh",
    }
    judged: list[Judged | None] = [None] * len(claims)
    for family, correction in corrections.items():
        places = [place for place, claim in enumerate(claims) if claim.family == family]
        members = [claims[place] for place in places]
        for place, entry in zip(places, _judged(members, correction, alpha), strict=True):
            judged[place] = entry
    if None in judged:
        unknown = claims[judged.index(None)].family
        raise PlanError(f"family {unknown!r} is unknown; allowed are {', '.join(get_args(Family))}")
    return [entry for entry in judged if entry is not None]


def _judged(members: Sequence[Claim], correction: PrimaryCorrection, alpha: float) -> list[Judged]:
    alphas: list[float | None]
    if correction == "dunnett":
        pvalues, alphas = _dunnett(members), [None] * len(members)
    else:
        plain: Correction = correction
        raw = [claim.pvalue for claim in members]
        pvalues = adjusted_pvalues(raw, correction=plain)
        alphas = list(interval_alphas(raw, correction=plain, alpha=alpha))
    return [
        Judged(
            claim=claim,
            pvalue_adjusted=pvalue,
            correction=correction,
            is_found=pvalue is not None and pvalue <= alpha,
            interval_alpha=level,
            watermark=EXPLORATORY if claim.family == "exploratory" else "",
        )
        for claim, pvalue, level in zip(members, pvalues, alphas, strict=True)
    ]


def _dunnett(members: Sequence[Claim]) -> list[float | None]:
    """Dunnett's within each metric, times the number of metrics across them."""
    n_metrics = len({claim.metric for claim in members if claim.pvalue is not None})
    found: list[float | None] = []
    for claim in members:
        if claim.pvalue is None:
            found.append(None)
        elif claim.dunnett_pvalue is None:
            raise PlanError(
                f"{claim.variant} on {claim.metric}: correction dunnett needs dunnett_pvalue, of"
                " `dunnett` over the metric's variants"
            )
        else:
            found.append(min(claim.dunnett_pvalue * n_metrics, 1.0))
    return found
