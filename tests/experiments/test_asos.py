"""43 real experiments of a shop, looked at twice a day: evidence that may be watched, watched.

Beside the real file the same looks are generated, so that a machine without it proves the same.
Source of the data: Liu, Cardoso, Couturier, McCoy (NeurIPS 2021 datasets), CC BY 4.0.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable
from math import isfinite
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, normal
from experiments.evidence.looks import confidence_sequence
from experiments.evidence.srm import sample_ratio
from tests.experiments.data import data_file

LEAST_LOOKS = 5


def look_at(n_c: float, n_t: float, means: tuple[float, float], variances: tuple[float, float]):
    v_c, v_t = variances[0] / n_c, variances[1] / n_t
    return Estimates(
        means[0], means[1], v_c, v_t, 0.0, v_c + v_t, int(n_c), int(n_t), n_c + n_t - 2
    )


def real() -> list[list[Estimates]]:
    """The looks of every comparison, oldest first; rows without numbers are left out."""
    looks: dict[tuple[str, ...], list[tuple[float, Estimates]]] = defaultdict(list)
    with gzip.open(data_file("asos_experiments.csv.gz"), "rt") as lines:
        for row in csv.DictReader(lines):
            numbers = [
                float(row[name] or "nan")
                for name in ("count_c", "count_t", "mean_c", "mean_t", "variance_c", "variance_t")
            ]
            if not all(map(isfinite, numbers)) or min(numbers[:2]) < 2 or min(numbers[4:]) <= 0:
                continue
            key = (row["experiment_id"], row["variant_id"], row["metric_id"])
            found = look_at(*numbers[:2], tuple(numbers[2:4]), tuple(numbers[4:]))
            looks[key].append((float(row["time_since_start"]), found))
    ordered = [
        [found for _, found in sorted(entries, key=lambda entry: entry[0])]
        for entries in looks.values()
    ]
    return [entries for entries in ordered if len(entries) >= LEAST_LOOKS]


def generated() -> list[list[Estimates]]:
    """Sixty experiments of the same shape: growing samples, sparse outcomes, small effects."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(60):
        lift = 1 + rng.normal(0, 0.03)
        sums = np.zeros((2, 3))  # Per arm: units, total, total of squares.
        looks = []
        for _ in range(40):
            for arm, factor in ((0, 1.0), (1, lift)):
                fresh = rng.gamma(0.2, 5.0, 400) * factor
                sums[arm] += (len(fresh), fresh.sum(), (fresh**2).sum())
            n, mean = sums[:, 0], sums[:, 1] / sums[:, 0]
            variance = sums[:, 2] / n - mean**2
            looks.append(look_at(n[0], n[1], tuple(mean), tuple(variance)))
        found.append(looks)
    return found


@pytest.fixture(scope="module", params=["generated", "real"])
def followed(request) -> list[SimpleNamespace]:
    comparisons = real() if request.param == "real" else generated()
    return [
        SimpleNamespace(
            looks=looks,
            sequence=confidence_sequence(
                looks, alpha=0.05, planned_sample=looks[-1].n_control + looks[-1].n_treatment
            ),
        )
        for looks in comparisons
        if grows(looks)
    ]


def grows(looks: Iterable[Estimates]) -> bool:
    """Whether every look holds the units of the one before; a few recorded ones do not."""
    sizes = [look.n_control + look.n_treatment for look in looks]
    return sizes == sorted(sizes)


def test_the_running_p_value_never_rises(followed):
    for each in followed:
        pvalues = [look.running_pvalue for look in each.sequence.looks]
        assert pvalues == sorted(pvalues, reverse=True)


def test_the_running_interval_never_grows(followed):
    for each in followed:
        shown = [look.absolute_so_far for look in each.sequence.looks]
        widths = [s.ci_upper - s.ci_lower for s in shown if s.ci_lower is not None]
        assert widths == sorted(widths, reverse=True)


def test_the_interval_of_a_look_covers_the_last_fixed_estimate_at_its_rate(followed):
    # The last estimate stands for the truth. In the real file it is a moving one: outcomes of the
    # same people accumulate (control means grow up to tenfold), and with them the effect itself.
    # So looks are counted there, 95.0 % of them cover, against 87.6 % of plain 95 % intervals.
    wide, plain = [], []
    for each in followed:
        value = last_estimate(each.looks)
        wide += [covers(look.absolute, value) for look in each.sequence.looks[:-1]]
        plain += [
            covers(absolute_lift(look, critical=normal(look, alpha=0.05).critical), value)
            for look in each.looks[:-1]
        ]

    assert len(wide) > 2_000
    assert np.mean(wide) >= 0.945
    assert np.mean(wide) > np.mean(plain)


def test_where_the_effect_stays_put_all_intervals_hold_at_once():
    held = []
    for looks in generated():
        n = looks[-1].n_control + looks[-1].n_treatment
        sequence = confidence_sequence(looks, alpha=0.05, planned_sample=n)
        value = last_estimate(looks)
        held.append(all(covers(look.absolute, value) for look in sequence.looks))

    assert np.mean(held) >= 0.95


def test_watching_finds_fewer_than_peeking_and_no_more_than_the_end_allows(followed):
    sequential = np.array([each.sequence.last.running_pvalue <= 0.05 for each in followed])
    peeking = np.array(
        [any(normal(look, alpha=0.05).pvalue <= 0.05 for look in each.looks) for each in followed]
    )

    assert sequential.sum() < peeking.sum()
    assert np.all(peeking[sequential])


def test_a_sequence_that_contradicts_itself_tells_of_an_effect_that_moved(followed):
    # 12 of 185 real ones do; in each the control's own mean had moved by a quarter or more.
    moved = [each for each in followed if each.sequence.contradicts_itself]

    assert len(moved) / len(followed) <= 0.07
    for each in moved:
        assert abs(each.looks[-1].control / each.looks[0].control - 1) > 0.25


def test_sample_ratios_of_real_looks_are_read_look_by_look():
    # Each experiment once, by its first variant and metric; the plan was even for all but few.
    ratios = []
    for looks in real()[:40]:
        counts = [{"c": each.n_control, "t": each.n_treatment} for each in looks]
        ratio = sample_ratio(
            counts[-1], weights={"c": 1, "t": 1}, earlier=counts[:-1], watched=True
        )
        alone = [sample_ratio(c, weights={"c": 1, "t": 1}).anytime_pvalue for c in counts]
        assert ratio.anytime_pvalue == min(alone)
        ratios.append(ratio)

    assert ratios


def covers(interval: Interval, value: float) -> bool:
    return interval.ci_lower is None or interval.ci_lower <= value <= interval.ci_upper


def last_estimate(looks: list[Estimates]) -> float:
    return looks[-1].treatment - looks[-1].control
