"""What is known of the data beside the aggregates: when, who was left out, how it came to be.

Whoever builds the aggregates fills this in; `analyze` puts it before the reader. All of it is
optional: a bare file has sums and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from experiments.analysis.plan import PlanRecord
from experiments.estimation.estimates import Estimates
from experiments.evidence.srm import SampleRatio
from experiments.programme.honest_tree import HonestTree
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import QuantileSums
from experiments.sums.unit_sums import Cap, Excluded, UnitSums

Arms = Mapping[str, Aggregates]
"""Aggregates per variant."""

NO_TIME = timedelta(0)


@dataclass(frozen=True)
class Estimated:
    """A comparison whose two means come from elsewhere than the aggregates, as a bandit's do.

    Attributes:
        method: For people: "adaptively weighted AIPW".
        randomization_pvalue: Of assigning anew, where that can be done; the larger p decides.
        notes: What to know before believing it.
    """

    estimates: Estimates
    method: str
    randomization_pvalue: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Everything but the aggregates.

    Attributes:
        as_of: The instant read.
        window: How long a unit takes until it counts: the longest window of all metrics.
        days: Per ISO date, the aggregates of the units that became countable on it; ascending, and
            together they are the whole.
        populations: Per dimension ("day", "source", "triggered") and level, units per variant.
        dimensions: Per dimension and level, the aggregates of its units.
        trees: Per variant, a search for units with differing effects on the deciding metric.
        strata: Per variant and stratum, for post-stratification.
        clusters: Per variant, aggregates over clusters' sums; if given, they are compared.
        randomized: Where clusters are few: the randomization test's p per (metric, variant).
        quantiles: Per metric and variant, for metrics of kind quantile.
        ages: Per variant, one column per age since exposure of the deciding metric, over a fixed
            cohort; `age_days` gives each column its age.
        received: Per variant, aggregates whose column `RECEIVED` is 1 for units the message
            reached.
        untriggered: Where the aggregates are of triggered units alone: per variant, those of the
            others.
        estimated: Per (metric, variant), two means that replace those of the aggregates.
        contexts: Per variant and context of a bandit, the deciding metric's two means within it.
        excluded: Who was left out.
        n_unreadable: Events whose value was no number; they add nothing.
        caps: What was cut.
        kept_plan: The plan as frozen when the experiment started, by this library.
        record: Instead of it: the record of a frozen plan that the given one follows already.
        is_at_end: The caller knows that the planned end is reached.
        is_open_ended: The plan's sample is nobody's plan: it only says where the sequence is
            tightest, and nothing is awaited of it.
        sample_ratio: Instead of one against the weights, where those moved, as a bandit's do.
        counted: What is counted where a report says units: "coins" of a switchback; clusters,
            where there are any.
        withheld: Why no verdict may be given although the shares are as planned; "" if it may.
        acknowledged: The cause of a sample ratio mismatch, once somebody has found it.
        acknowledged_of: What it is the cause of, as `Readout.mismatches` names it; None: of all.
        units_per_day: How fast units arrive.
        snapshot: Hash of the data that was read.
        engine_version: Of what read them.
    """

    as_of: datetime | None = None
    window: timedelta = NO_TIME
    days: Mapping[str, Arms] = field(default_factory=dict)
    populations: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    dimensions: Mapping[str, Mapping[str, Arms]] = field(default_factory=dict)
    trees: Mapping[str, HonestTree] = field(default_factory=dict)
    strata: Mapping[str, Mapping[str, Aggregates]] = field(default_factory=dict)
    clusters: Arms = field(default_factory=dict)
    randomized: Mapping[tuple[str, str], float] = field(default_factory=dict)
    quantiles: Mapping[str, Mapping[str, QuantileSums]] = field(default_factory=dict)
    ages: Arms = field(default_factory=dict)
    age_days: Mapping[str, float] = field(default_factory=dict)
    received: Arms = field(default_factory=dict)
    untriggered: Arms = field(default_factory=dict)
    estimated: Mapping[tuple[str, str], Estimated] = field(default_factory=dict)
    contexts: Mapping[str, Mapping[str, Estimates]] = field(default_factory=dict)
    excluded: tuple[Excluded, ...] = ()
    n_unreadable: int = 0
    caps: tuple[Cap, ...] = ()
    kept_plan: str | None = None
    record: PlanRecord | None = None
    is_at_end: bool = False
    is_open_ended: bool = False
    sample_ratio: SampleRatio | None = None
    counted: str = "units"
    withheld: str = ""
    acknowledged: str = ""
    acknowledged_of: frozenset[str] | None = None
    units_per_day: float | None = None
    snapshot: str = ""
    engine_version: str = ""


RECEIVED = "received"
"""The column of `Collected.received` that says whether the message reached a unit."""


def from_unit_sums(sums: UnitSums, *, engine_version: str = "") -> Collected:
    """What the sums of a file or a warehouse say beside their aggregates."""
    return Collected(
        dimensions=sums.dimensions,
        strata=sums.strata,
        clusters=sums.clusters,
        quantiles=sums.quantiles,
        caps=sums.caps,
        excluded=sums.excluded,
        snapshot=hash_of(sums.aggregates),
        engine_version=engine_version,
    )


def hash_of(aggregates: Arms) -> str:
    """sha256 of everything that was summed: other data give another one."""
    seen = sha256()
    for name in sorted(aggregates):
        part = aggregates[name]
        # Nine digits: sums of many rows in parallel may differ in the last ones from run to run.
        means = [f"{value:.9g}" for value in part.means]
        moments = [f"{value:.9g}" for row in part.moments for value in row if value is not None]
        seen.update(repr((name, part.n, part.columns, means, moments)).encode())
    return seen.hexdigest()
