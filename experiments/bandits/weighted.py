"""Effects from a bandit's log by adaptively weighted scores (AW-AIPW).

Each unit gives every arm a score: a guess from earlier periods, corrected by its own outcome over
the chance of its arm if that is the arm it got. Whatever the guess, a score's mean is the arm's
mean at that time, so a drift that hits all arms leaves their difference alone. Units decided by
lopsided vectors have noisy scores; weighting them by the root of their precision keeps the sum
normal although the vectors were themselves learnt from the data.
Source: Hadad, Hirshberg, Zhan, Wager, Athey (PNAS 2021), arXiv 1911.02768.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Final

from experiments.bandits.log import ArmSums, Batch, Decision, batches
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates

UNITS_MIN: Final = 2
"""Per arm, over all cohorts; fewer have no variance to speak of."""


@dataclass(frozen=True)
class Value:
    """An arm's mean outcome over the time of the bandit, and the variance of that estimate."""

    mean: float
    variance: float
    n: int


def weighted_estimates(
    cohorts: Sequence[Batch], *, control: str, treatment: str, first_guess: float = 0.0
) -> Estimates:
    """The two arms' means under common weights, ready for any kind of evidence.

    Common weights are what makes it a contrast of scores: both means stand for the same days.

    Args:
        first_guess: Of the outcome, known before the start (for instance the metric's mean in the
            month before); sharpens the first period and cannot bias anything.
    Raises:
        DataError: If an arm has too few units or an unknown name.
    """
    pair = (control, treatment)
    _require(cohorts, pair)
    guesses = past_guesses(cohorts, pair, first_guess=first_guess)
    weights = [weight(it, pair) for it in cohorts]
    scored = [_Scored(it, guess, pair) for it, guess in zip(cohorts, guesses, strict=True)]
    total = sum(w * it.batch.n for w, it in zip(weights, scored, strict=True))
    means = [
        sum(w * it.total(arm) for w, it in zip(weights, scored, strict=True)) / total
        for arm in pair
    ]

    def spread(one: int, other: int) -> float:
        products = [it.product(one, other, means) for it in scored]
        whole = sum(w * w * it for w, it in zip(weights, products, strict=True))
        return whole / (total * total)

    control_variance, covariance, treatment_variance = spread(0, 0), spread(0, 1), spread(1, 1)
    return Estimates(
        control=means[0],
        treatment=means[1],
        control_variance=control_variance,
        treatment_variance=treatment_variance,
        covariance=covariance,
        difference_variance=sum(
            w * w * it.of_difference(means) for w, it in zip(weights, scored, strict=True)
        )
        / (total * total),
        n_control=sum(it.of(control).n for it in cohorts),
        n_treatment=sum(it.of(treatment).n for it in cohorts),
        degrees_of_freedom=inf,
    )


def arm_values(
    cohorts: Sequence[Batch], arms: Sequence[str], *, first_guess: float = 0.0
) -> dict[str, Value]:
    """Each arm's mean under weights common to all the arms named: comparable with each other.

    With one arm named its weight is the root of its chance, as published.
    """
    _require(cohorts, arms)
    names = tuple(arms)
    guesses = past_guesses(cohorts, names, first_guess=first_guess)
    weights = [weight(it, names) for it in cohorts]
    scored = [_Scored(it, guess, names) for it, guess in zip(cohorts, guesses, strict=True)]
    total = sum(w * it.batch.n for w, it in zip(weights, scored, strict=True))
    means = [
        sum(w * it.total(arm) for w, it in zip(weights, scored, strict=True)) / total
        for arm in names
    ]
    found: dict[str, Value] = {}
    for place, name in enumerate(names):
        products = [it.product(place, place, means) for it in scored]
        variance = sum(w * w * it for w, it in zip(weights, products, strict=True)) / total**2
        found[name] = Value(means[place], variance, sum(it.of(name).n for it in cohorts))
    return found


def unit_estimates(
    decisions: Sequence[Decision],
    *,
    period: int,
    control: str,
    treatment: str,
    first_guess: float = 0.0,
) -> Estimates:
    """`weighted_estimates` unit by unit, as it is published: slow, and the same to 1e-9."""
    cohorts = batches(decisions, period=period)
    pair = (control, treatment)
    _require(cohorts, pair)
    guesses = past_guesses(cohorts, pair, first_guess=first_guess)
    guess_of = {(it.version, it.period): g for it, g in zip(cohorts, guesses, strict=True)}
    rows: list[tuple[float, float, float]] = []
    for it in decisions:
        assert it.outcome is not None  # `batches` refuses it
        guess = guess_of[it.version, it.at // period]
        h = 1 / sqrt(sum(1 / it.probabilities[arm] for arm in pair))
        below, above = (
            guess[arm]
            + (it.outcome - guess[arm]) / it.probabilities[arm] * (1.0 if it.arm == arm else 0.0)
            for arm in pair
        )
        rows.append((h, below, above))
    total = sum(h for h, _, _ in rows)
    c = sum(h * below for h, below, _ in rows) / total
    t = sum(h * above for h, _, above in rows) / total
    return Estimates(
        control=c,
        treatment=t,
        control_variance=sum((h * (below - c)) ** 2 for h, below, _ in rows) / total**2,
        treatment_variance=sum((h * (above - t)) ** 2 for h, _, above in rows) / total**2,
        covariance=sum(h * h * (b - c) * (a - t) for h, b, a in rows) / total**2,
        difference_variance=sum((h * (a - b - (t - c))) ** 2 for h, b, a in rows) / total**2,
        n_control=sum(it.arm == control for it in decisions),
        n_treatment=sum(it.arm == treatment for it in decisions),
        degrees_of_freedom=inf,
    )


def weight(batch: Batch, arms: Sequence[str]) -> float:
    """One over the root of what the scores of these arms vary by: sqrt(e) for a single arm."""
    return 1 / sqrt(sum(1 / batch.probabilities[arm] for arm in arms))


def past_guesses(
    cohorts: Sequence[Batch], arms: Sequence[str], *, first_guess: float
) -> list[dict[str, float]]:
    """What each cohort's outcomes would have been guessed as, from earlier periods only.

    The guess is the arm's average so far, or everybody's while the arm has none. It mixes days,
    which a guess may.
    """
    order = sorted(range(len(cohorts)), key=lambda i: cohorts[i].period)
    seen = dict.fromkeys(arms, ArmSums(0))
    everyone = ArmSums(0)
    found: list[dict[str, float]] = [{} for _ in cohorts]
    waiting: list[int] = []
    for i in order:
        if waiting and cohorts[waiting[0]].period < cohorts[i].period:
            for j in waiting:
                seen = {arm: it.merge(cohorts[j].of(arm)) for arm, it in seen.items()}
                for it in cohorts[j].arms.values():
                    everyone = everyone.merge(it)
            waiting = []
        waiting.append(i)
        otherwise = everyone.mean if everyone.n else first_guess
        found[i] = {arm: it.mean if it.n else otherwise for arm, it in seen.items()}
    return found


class _Scored:
    """The scores of one cohort, by sums alone."""

    def __init__(self, batch: Batch, guess: Mapping[str, float], arms: Sequence[str]) -> None:
        self.batch = batch
        self._arms = arms
        self._guess = guess

    def total(self, arm: str) -> float:
        """Sum of the scores of an arm over all units of the cohort."""
        its, guess = self.batch.of(arm), self._guess[arm]
        return self.batch.n * guess + its.n * (its.mean - guess) / self.batch.probabilities[arm]

    def product(self, one: int, other: int, means: Sequence[float]) -> float:
        """Sum of (score of one - its mean) * (score of other - its mean) over all units."""
        if one == other:
            return self._square(self._arms[one], means[one])
        own, theirs = self._of(one, means), self._of(other, means)
        n_rest = self.batch.n - own.n - theirs.n
        return (
            own.n * own.met * theirs.idle
            + theirs.n * theirs.met * own.idle
            + (n_rest * own.idle * theirs.idle)
        )

    def of_difference(self, means: Sequence[float]) -> float:
        """Sum of (second score - first score - their means' difference) squared, over all units.

        Formed before it is squared: what both scores share, a mean of 1e8 say, would cancel badly.
        """
        c, t = self._of(0, means), self._of(1, means)
        n_rest = self.batch.n - c.n - t.n
        within = sum(
            self.batch.of(arm).moment / self.batch.probabilities[arm] ** 2 for arm in self._arms
        )
        return (
            c.n * (t.idle - c.met) ** 2
            + t.n * (t.met - c.idle) ** 2
            + n_rest * (t.idle - c.idle) ** 2
            + within
        )

    def _square(self, arm: str, mean: float) -> float:
        it = self._deviation(arm, mean)
        chance = self.batch.probabilities[arm]
        within = self.batch.of(arm).moment / (chance * chance)
        return it.n * it.met**2 + within + (self.batch.n - it.n) * it.idle**2

    def _of(self, place: int, means: Sequence[float]) -> "_Deviation":
        return self._deviation(self._arms[place], means[place])

    def _deviation(self, arm: str, mean: float) -> "_Deviation":
        its, guess = self.batch.of(arm), self._guess[arm]
        corrected = guess + (its.mean - guess) / self.batch.probabilities[arm] if its.n else guess
        return _Deviation(its.n, corrected - mean, guess - mean)


@dataclass(frozen=True)
class _Deviation:
    """How far an arm's scores are from its mean: on average of its own units, and of the others."""

    n: int
    met: float
    idle: float


def _require(cohorts: Sequence[Batch], arms: Sequence[str]) -> None:
    if len(set(arms)) != len(arms):
        raise DataError(f"the arms {', '.join(arms)} are not distinct")
    for arm in arms:
        n = sum(it.of(arm).n for it in cohorts)
        if n < UNITS_MIN:
            raise DataError(f'too few units in "{arm}" whose window has closed: {n}')
