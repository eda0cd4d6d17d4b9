"""`predicted_from` in a metric: CUPAC from what units did before their exposure, in the report."""

import random

import numpy as np
import pytest

from campaigns.metrics import MetricDefinition, PredictedMetric, compile_metrics
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY
from engine.readout.findings import Findings, read_out
from engine.readout.metric_sums import sum_metrics
from engine.readout.plans import reading_of
from engine.store.database import Database
from experiments.analysis.readout import Comparison
from tests.campaigns.build import a_workspace, problems_of
from tests.engine.test_readout import (
    AS_OF,
    START,
    Unit,
    a_metric,
    a_study,
    keep_events,
    keep_exposures,
)

SPANS = (7 * DAY, 90 * DAY)
NAME = "orders, predicted from the 7, 90 days before"


def predicting(plain: MetricDefinition, spans: tuple[int, ...] = SPANS) -> PredictedMetric:
    values = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    return PredictedMetric(**values, predicted_from=spans)


def a_shop(database: Database, *, n: int = 1_200, lift: float = 0.0, seed: int = 3) -> list[Unit]:
    """People who order as often after the exposure as they do before it, at rates far apart."""
    rng = np.random.default_rng(seed)
    units, events = [], []
    for i in range(1, n + 1):
        unit = Unit(i, "email" if i % 2 else "control", START + 100 * DAY + i)
        units.append(unit)
        rate = rng.lognormal(-3.5, 1.2)
        for _ in range(rng.poisson(rate * 100)):
            events.append((i, "Order Completed", int(unit.at - rng.integers(1, 100 * DAY)), {}))
        more = 1 + lift * (unit.variant == "email")
        for _ in range(rng.poisson(rate * 14 * more)):
            events.append((i, "Order Completed", int(unit.at + rng.integers(1, 14 * DAY)), {}))
    keep_exposures(database, units)
    keep_events(database, events)
    return units


def read(database: Database, definition: MetricDefinition, **changes: object) -> Findings:
    with database.read() as connection:
        return read_out(connection, a_study(definition, **changes), as_of=AS_OF)


def only(found: Findings) -> Comparison:
    assert found.readout is not None, found.why_not
    (comparison,) = found.readout.comparisons
    return comparison


def test_a_prediction_from_several_spans_removes_variance_and_says_how_much(
    database: Database,
) -> None:
    """Of a short span alone CUPED sees little; what is learned from both sees more."""
    a_shop(database)

    plain = only(read(database, a_metric()))
    short = only(read(database, a_metric(covariate=7 * DAY)))
    learned = only(read(database, predicting(a_metric())))

    assert not plain.cuped.applied
    assert learned.cuped.applied
    assert NAME in learned.cuped.note
    assert learned.cuped.variance_reduction > short.cuped.variance_reduction + 0.05
    assert learned.cuped.variance_reduction == pytest.approx(
        1 - (learned.effect.std_error / plain.effect.std_error) ** 2, abs=1e-9
    )
    assert learned.unadjusted.std_error == pytest.approx(plain.effect.std_error, rel=1e-12)


def test_the_prediction_does_not_move_the_effect_it_sharpens(database: Database) -> None:
    a_shop(database, lift=0.5)

    plain, learned = only(read(database, a_metric())), only(read(database, predicting(a_metric())))

    assert learned.effect.lift_abs.estimate == pytest.approx(
        plain.effect.lift_abs.estimate, abs=2 * plain.effect.std_error
    )
    assert learned.verdict.word == "effect detected"


def test_nothing_after_the_exposure_is_learned_from(database: Database) -> None:
    """Who orders is decided by the arm alone: whoever peeked would find something to predict by."""
    units = [Unit(i, "email" if i % 2 else "control", START + i) for i in range(1, 401)]
    rng = random.Random(4)
    events = [
        (it.profile_id, "Order Completed", it.at + DAY, {}) for it in units if rng.random() < 0.5
    ]
    keep_exposures(database, units)
    keep_events(database, events)

    learned = only(read(database, predicting(a_metric())))

    # Nobody did anything before: the same for everyone, and so no covariate.
    assert not learned.cuped.applied
    assert learned.cuped.variance_reduction == 0


def test_a_unit_alone_is_never_predicted_from_itself(database: Database) -> None:
    """Changing one unit's outcome changes the predictions of others, never its own."""
    import duckdb

    from engine.readout.metric_columns import Column, columns_of
    from engine.readout.predicting import add_predictions, past_columns

    definition = predicting(a_metric())
    columns: list[Column] = [*columns_of([definition]), *past_columns([definition])]
    rng = np.random.default_rng(1)
    values = {f"v{i}": rng.poisson(3, 200).astype(float) for i in range(len(columns))}

    def predicted(first: float) -> np.ndarray:
        with duckdb.connect() as lake:
            given = {"place": np.arange(200), **{k: v.copy() for k, v in values.items()}}
            given["v0"][0] = first
            lake.register("given", given)
            lake.execute("CREATE TABLE units AS SELECT * FROM given")
            (column,) = add_predictions(lake, [definition], columns).values()
            rows = lake.execute(f"SELECT {column} FROM units ORDER BY place").fetchall()
            return np.array([row[0] for row in rows])

    one, other = predicted(0.0), predicted(500.0)

    assert one[0] == other[0]
    assert (one != other).sum() > 100


@pytest.mark.parametrize("measure", ["happened", "sum", "mean_per_event", "distinct", "funnel"])
def test_every_measure_of_events_can_be_predicted(database: Database, measure: str) -> None:
    rng = random.Random(9)
    units = [Unit(i, "email" if i % 2 else "control", START + 95 * DAY) for i in range(1, 301)]
    events = [
        (i, "Order Completed", START + rng.randrange(109 * DAY), {"sku": rng.choice("abc"),
                                                                  "revenue": rng.random()})
        for i in range(1, 301) for _ in range(rng.randrange(12))
    ]  # fmt: skip
    keep_events(database, events)
    changes: dict[str, object] = {
        "happened": {}, "funnel": {"steps": (EventMatch("Order Completed"),) * 2},
        "distinct": {"value": ("properties", "sku")},
    }.get(measure, {"value": ("properties", "revenue")})  # fmt: skip
    definition = predicting(a_metric(name="it", measure=measure, **changes))  # type: ignore[arg-type]

    with database.read() as connection:
        (first, second) = (
            sum_metrics(connection, units, [(definition, "primary")], as_of=AS_OF) for _ in range(2)
        )

    assert first.sums.aggregates == second.sums.aggregates  # The same lots each time.
    assert set(first.metrics[0].covariates) <= set(first.sums.aggregates["email"].columns)


def test_other_spans_after_the_start_are_a_change_of_the_frozen_plan(database: Database) -> None:
    one, other = (a_study(predicting(a_metric(), spans)) for spans in (SPANS, (30 * DAY,)))

    with database.read() as connection:
        first, second = (reading_of(connection, it) for it in (one, other))

    assert first.record.digest != second.record.digest


# --- the language ---------------------------------------------------------------------------------

METRIC = "metric: it\nevent: Order Completed\nwithin: 7d\n"


def test_a_metric_says_what_it_is_predicted_from() -> None:
    files = {"metrics/it.yaml": METRIC + "predicted_from: [90d, 7d, 7d]\n"}

    found = compile_metrics(a_workspace(files))["it"]

    assert isinstance(found, PredictedMetric)
    assert found.predicted_from == SPANS
    assert type(compile_metrics(a_workspace({"metrics/it.yaml": METRIC}))["it"]) is MetricDefinition


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (METRIC + "covariate: 7d\npredicted_from: [7d]\n", "Keep one"),
        (METRIC + "measure: quantile\nquantile: p90\npredicted_from: [7d]\n", "adjusted by a"),
        (METRIC + "predicted_from: 7d\n", "predicted_from"),
        (METRIC + "predicted_from: [seven]\n", "seven"),
    ],
)
def test_what_cannot_be_predicted_is_refused(text: str, says: str) -> None:
    found = problems_of({"metrics/it.yaml": text})

    assert any(says in str(problem) for problem in found), found
