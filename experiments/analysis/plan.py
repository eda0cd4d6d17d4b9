"""What was decided before anyone looked: the plan of an analysis, frozen and hashed.

A plan is made into canonical JSON when its experiment starts and is known from then on by the hash
of it. What the files say later is compared with it, shown as a difference, and changes nothing of
how the experiment is read, except that metrics which came late are read as exploratory.
Read next: `analyze`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from math import inf, isfinite
from typing import Any, Final, Literal, get_args

from experiments.errors import PlanError
from experiments.estimation.cuped import Adjust
from experiments.evidence.equivalence import Margin
from experiments.evidence.families import PrimaryCorrection
from experiments.metrics import Metric

Method = Literal["sequential", "fixed", "group_sequential", "bayesian"]
Spending = Literal["obrien_fleming", "pocock", "power", "hsd"]


DUNNETT_METHODS: Final = ("fixed", "bayesian")
"""Dunnett's critical value is that of one look; it knows nothing of those before it."""

HORIZON_WEEKS: Final = 52
"""How long a shipped change is taken to last when the value of waiting is reckoned."""


@dataclass(frozen=True)
class PriorBelief:
    """What was believed of every metric's *relative* lift before: normal.

    Attributes:
        mean, deviation: As shares; a deviation of 0.1 says most lifts are within 20 %.
    """

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (isfinite(self.mean) and 0 < self.deviation < inf):
            raise PlanError(
                "a prior needs a mean, and a deviation above 0, found"
                f" {self.mean:g} and {self.deviation:g}"
            )


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What was decided before looking at any outcome.

    Attributes:
        weights: Planned weight of each variant, the control's included.
        method: `sequential` may be looked at any time, `group_sequential` at its looks, `fixed` and
            `bayesian` once, at the end.
        adjust: How covariates are used, for metrics that have some.
        correction: Within the family of primary metrics; secondary ones always use `bh`, guardrails
            none.
        planned_sample: Units in all variants together; the sequential method is tightest there.
        smallest_lift: The smallest relative lift that matters. An interval inside +/- this is
            "no effect"; a wider one that holds 0 is "inconclusive".
        ends_at: The planned end. Before it `fixed` and `bayesian` show no effect.
        looks: Of `group_sequential`: ascending shares of the planned sample, the last one 1.
        spending, spending_parameter: How its alpha is spent over them; `power` and `hsd` have a
            parameter.
        margins: What guardrails may lose and still count as safe, by metric.
        dimensions: By which units may be told apart in the report; all others are exploratory.
        prior: For `bayesian`; None is flat.
        horizon_weeks: How long a shipped change is taken to last.
        design: What else was decided of how units come to be, in words and numbers, such as the
            periods and the carry-over of a switchback.
    """

    name: str
    control: str
    weights: Mapping[str, int]
    metrics: Sequence[Metric]
    method: Method = "sequential"
    alpha: float = 0.05
    adjust: Adjust = "lin"
    correction: PrimaryCorrection = "holm"
    planned_sample: int | None = None
    smallest_lift: float | None = None
    ends_at: datetime | None = None
    looks: tuple[float, ...] = ()
    spending: Spending = "obrien_fleming"
    spending_parameter: float | None = None
    margins: Mapping[str, Margin] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    prior: PriorBelief | None = None
    horizon_weeks: int = HORIZON_WEEKS
    design: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.control not in self.weights:
            raise PlanError(
                f"control {self.control!r} is not a variant; variants are {', '.join(self.weights)}"
            )
        if len(self.weights) < 2:
            raise PlanError(f"only one variant, {self.control!r}; there is nothing to compare")
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) != len(names):
            raise PlanError(f"metrics must be given and distinct, found {names}")
        if not 0 < self.alpha < 1:
            raise PlanError(f"alpha {self.alpha} is not between 0 and 1")
        for value, allowed in (
            (self.method, get_args(Method)),
            (self.adjust, get_args(Adjust)),
            (self.correction, get_args(PrimaryCorrection)),
            (self.spending, get_args(Spending)),
        ):
            if value not in allowed:
                raise PlanError(f"{value!r} is unknown; allowed are {', '.join(allowed)}")
        if self.method in ("sequential", "group_sequential") and self.planned_sample is None:
            raise PlanError(
                f"the {self.method} method needs planned_sample, fixed before the start"
            )
        if self.correction == "dunnett" and self.method not in DUNNETT_METHODS:
            raise PlanError(
                f"correction dunnett is for one look ({' or '.join(DUNNETT_METHODS)}); under"
                f" {self.method} write holm"
            )
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name, weight in self.weights.items():
            if not 0 <= weight < inf:
                raise PlanError(f"variant {name!r} has weight {weight}; at least 0 is needed")
        if self.planned_sample is not None and not 2 <= self.planned_sample < inf:
            raise PlanError(f"a planned sample of {self.planned_sample} units compares nothing")
        if self.smallest_lift is not None and not 0 < self.smallest_lift < 1:
            raise PlanError(
                f"the smallest lift that matters is {self.smallest_lift:g}; it must be between 0"
                " and 1, as a share: 0.02 is 2 %"
            )
        if self.ends_at is not None and self.ends_at.tzinfo is None:
            raise PlanError(f"ends_at {self.ends_at} has no zone; write it with one")
        rising = all(a < b for a, b in zip(self.looks, self.looks[1:], strict=False))
        if self.looks and not (rising and self.looks[0] > 0 and self.looks[-1] == 1):
            raise PlanError(f"looks {self.looks} must rise from above 0 to 1")
        if self.method == "group_sequential" and not self.looks:
            raise PlanError("the group_sequential method needs its looks, such as 0.25, 0.5, 1")
        known = {metric.name for metric in self.metrics}
        if strays := sorted(set(self.margins) - known):
            raise PlanError(f"a margin names {strays[0]!r}, which is not among the metrics")
        if self.horizon_weeks < 1:
            raise PlanError(f"a horizon of {self.horizon_weeks} weeks is over before it begins")

    @property
    def treatments(self) -> tuple[str, ...]:
        """Variants other than the control, in the plan's order."""
        return tuple(name for name in self.weights if name != self.control)

    @property
    def deciding(self) -> Metric:
        """The metric that the decision rests on: the first primary one, or else the first."""
        return next((it for it in self.metrics if it.role == "primary"), self.metrics[0])


@dataclass(frozen=True)
class Change:
    """One thing that the files say otherwise than the frozen plan; "nothing" where one is silent.

    `is_used` says whether the reading follows it (a late metric is read, as exploratory).
    """

    what: str
    frozen: str
    now: str
    is_used: bool = False


@dataclass(frozen=True)
class PlanRecord:
    """The plan as a report shows it.

    Attributes:
        content: The canonical plan.
        digest: sha256 of its canonical JSON, in hex.
        is_frozen: Whether it was kept when the experiment started; if not, it is today's.
        changes: What the files have said otherwise since.
    """

    content: Mapping[str, Any]
    digest: str
    is_frozen: bool
    changes: tuple[Change, ...] = ()


def canonical(plan: ExperimentPlan) -> dict[str, Any]:
    """The plan as plain data, for JSON; what stands at its default is left out.

    Leaving defaults out keeps old hashes true when a later version adds a field.
    """
    content = _plain_fields(plan, besides=("metrics", "weights"))
    content["weights"] = dict(plan.weights)
    content["deciding"] = plan.deciding.name
    content["metrics"] = {
        metric.name: _plain_fields(metric, besides=("name",)) for metric in plan.metrics
    }
    return content


def frozen(plan: ExperimentPlan) -> str:
    """Canonical JSON of a plan, to be stored when the experiment starts."""
    return canonical_json(canonical(plan))


def canonical_json(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: the same content always gives the same text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(text: str) -> str:
    """sha256 of a frozen plan, in hex."""
    return sha256(text.encode()).hexdigest()


def held_to(kept: str | None, plan: ExperimentPlan) -> tuple[ExperimentPlan, PlanRecord]:
    """What to read an experiment by: its frozen plan, whatever the files say today.

    Args:
        kept: The frozen plan; None where none was kept, and then today's plan is taken and says so.
        plan: What the files say today.
    Returns:
        The plan to read by, and the record for the report. Settings, variants and the metric that
        decides are the frozen ones. A metric
        that is new, or is measured otherwise than planned, is read as exploratory; one that lost
        its role keeps the frozen one.
    """
    today = canonical(plan)
    if not kept:
        return plan, PlanRecord(today, digest(canonical_json(today)), is_frozen=False)
    content: dict[str, Any] = json.loads(kept)
    changes = tuple(differences(content, today))
    metrics = tuple(_as_planned(metric, content["metrics"]) for metric in plan.metrics)
    if not any(metric.role == "primary" for metric in metrics):
        # Every planned metric is gone; there is nothing left that may decide.
        metrics = tuple(replace(metric, role="exploratory") for metric in metrics)
    metrics = _deciding_first(metrics, content.get("deciding"))
    settled = replace(plan, metrics=metrics, **_settings(content, plan))
    return settled, PlanRecord(content, digest(kept), is_frozen=True, changes=changes)


# --- below: plain data, and differences of it -----------------------------------------------------


def _plain_fields(noun: Any, *, besides: Sequence[str]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for it in fields(noun):
        value = getattr(noun, it.name)
        default = it.default_factory() if callable(it.default_factory) else it.default
        if it.name not in besides and value != default:
            plain[it.name] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Margin() | PriorBelief():
            return {it.name: getattr(value, it.name) for it in fields(value)}
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


_KEPT: Final = (
    "method", "alpha", "adjust", "correction", "planned_sample", "smallest_lift", "looks",
    "spending", "spending_parameter", "dimensions", "horizon_weeks",
)  # fmt: skip


def _settings(content: Mapping[str, Any], plan: ExperimentPlan) -> dict[str, Any]:
    """The frozen settings as arguments of the plan; a field that was at its default is that."""
    defaults = {it.name: it.default for it in fields(ExperimentPlan)}
    settings = {name: content.get(name, defaults[name]) for name in _KEPT}
    for name in ("looks", "dimensions"):
        settings[name] = tuple(settings[name])
    ends, prior = content.get("ends_at"), content.get("prior")
    settings["ends_at"] = datetime.fromisoformat(ends) if ends else None
    settings["prior"] = PriorBelief(**prior) if prior else None
    settings["control"] = content["control"]
    settings["design"] = content.get("design", {})
    # As planned, in the order of today's files: canonical JSON has none.
    was = content["weights"]
    order = [name for name in plan.weights if name in was]
    settings["weights"] = {name: was[name] for name in (*order, *was)}
    present = {metric.name for metric in plan.metrics}
    settings["margins"] = {
        name: Margin(**margin)
        for name, margin in content.get("margins", {}).items()
        if name in present
    }
    return settings


def _deciding_first(metrics: tuple[Metric, ...], deciding: str | None) -> tuple[Metric, ...]:
    """The planned deciding metric before the other primary ones, whatever their order today."""
    primary = [it for it in metrics if it.role == "primary"]
    if deciding not in [it.name for it in primary[1:]]:
        return metrics
    return tuple(sorted(metrics, key=lambda it: it.name != deciding))


def _as_planned(metric: Metric, planned: Mapping[str, Mapping[str, Any]]) -> Metric:
    if metric.name not in planned:
        return replace(metric, role="exploratory")
    was, now = dict(planned[metric.name]), _plain_fields(metric, besides=("name",))
    role = was.pop("role", "primary")
    now.pop("role", None)
    for words in ("title", "unit"):  # What people read is not how it is measured.
        was.pop(words, None)
        now.pop(words, None)
    return replace(metric, role=role if was == now else "exploratory")


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What one plan, as plain data, says otherwise than another."""
    before, after = _flat(was), _flat(now)
    found = []
    for key in sorted(before.keys() | after.keys()):
        is_part = len(key) == 3 and key[0] == "metrics"
        if before.get(key) == after.get(key):
            continue
        if is_part and not (key[:2] in before and key[:2] in after):
            continue  # Of a metric that came or went, its parts say nothing more.
        is_late = len(key) == 2 and key[0] == "metrics" and key not in before
        found.append(
            Change(" ".join(key), _shown(before, key), _shown(after, key), is_used=is_late)
        )
    return found


def _flat(content: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in content.items():
        if key == "metrics":
            for name, metric in value.items():
                flat[key, name] = "measured"
                flat |= {(key, name, part): it for part, it in metric.items()}
        elif isinstance(value, Mapping):
            flat |= {(key, part): it for part, it in value.items()}
        else:
            flat[key,] = value
    return flat


def _shown(flat: Mapping[tuple[str, ...], Any], key: tuple[str, ...]) -> str:
    if key not in flat:
        defaults: dict[tuple[str, ...], Any]
        defaults = {(it.name,): it.default for it in fields(ExperimentPlan)}
        default = defaults.get(key)
        return "nothing" if default in (None, MISSING, ()) else str(default)
    value = flat[key]
    return value if isinstance(value, str) else json.dumps(value)
