"""`antiphon analyze --cupac`: many columns of before, learned into one covariate."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.engine.test_analyze_command import antiphon, refused
from tests.rig.sizes import scaled

__all__ = ["antiphon", "refused"]

BASIC = ("--variant", "arm", "--control", "none", "--metric", "spend")
CUPAC = ("--cupac", "orders,age,country")


def shop(n: int = 3_000, *, seed: int = 1, lift: float = 0.0) -> pd.DataFrame:
    """Spend that depends on the logarithm of orders before, and on the country. Gaps in age."""
    rng = np.random.default_rng(seed)
    orders = rng.lognormal(1, 1.5, n).round()
    country = rng.choice(["FR", "DE", "IT", ""], n)
    arm = rng.choice(["none", "mail"], n)
    spend = (
        10 * np.log1p(orders) + 15 * (country == "FR") + lift * (arm == "mail")
        + rng.normal(0, 10, n)
    )  # fmt: skip
    age = rng.integers(18, 80, n).astype(float)
    age[::7] = np.nan
    return pd.DataFrame({
        "user": np.arange(n), "arm": arm, "orders": orders, "country": country, "age": age,
        "spend": spend, "visits": rng.poisson(3, n) + 1,
    })  # fmt: skip


def as_csv(tmp_path, frame, name="shop.csv"):
    path = tmp_path / name
    frame.to_csv(path, index=False)
    return path


def only(out: str, metric: str = "spend") -> dict:
    return json.loads(out)["metrics"][metric]["mail"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_prediction_explains_what_a_straight_line_does_not(antiphon, tmp_path, kind):
    frame = shop()
    path = as_csv(tmp_path, frame)
    if kind == "parquet":
        path = tmp_path / "shop.parquet"
        frame.to_parquet(path)

    by_line = only(antiphon(path, *BASIC, "--covariate", "orders", "--json")[1])
    learned = only(antiphon(path, *BASIC, *CUPAC, "--json")[1])

    # Of a variance of about 225 + 42 + 100 noise is 100: what could be known explains three fifths.
    truth = frame.spend.var()
    assert learned["cuped"]["variance_reduction"] == pytest.approx(1 - 100 / truth, abs=0.04)
    assert by_line["cuped"]["variance_reduction"] < learned["cuped"]["variance_reduction"] - 0.15
    assert "spend, predicted" in learned["cuped"]["note"]
    assert learned["unadjusted"]["std_error"] > learned["std_error"]


def test_the_interval_holds_the_truth_as_often_as_it_says(antiphon, tmp_path):
    """A prediction fitted on the unit itself would make the interval too narrow."""
    runs, missed = scaled(40), 0
    for seed in range(runs):
        path = as_csv(tmp_path, shop(300, seed=50 + seed, lift=3.0))
        found = only(antiphon(path, *BASIC, *CUPAC, "--json")[1])["lift_abs"]
        missed += not found["ci_lower"] <= 3.0 <= found["ci_upper"]
    assert missed <= 0.05 * runs + 3.1 * (0.05 * 0.95 * runs) ** 0.5


def test_a_column_that_knows_nothing_costs_next_to_nothing(antiphon, tmp_path):
    frame = shop().assign(noise=lambda it: np.random.default_rng(9).normal(size=len(it)))
    path = as_csv(tmp_path, frame)

    found = only(antiphon(path, *BASIC, "--cupac", "noise", "--json")[1])

    assert abs(found["cuped"]["variance_reduction"]) < 0.01


def test_rows_in_another_order_give_the_same_report(antiphon, tmp_path):
    frame = shop()
    one = only(antiphon(as_csv(tmp_path, frame), *BASIC, *CUPAC, "--json")[1])
    other = only(antiphon(as_csv(tmp_path, frame.iloc[::-1]), *BASIC, *CUPAC, "--json")[1])

    assert one["lift_abs"] == pytest.approx(other["lift_abs"], rel=1e-12)


def test_ratios_capped_metrics_strata_and_units_of_several_rows_have_it_too(antiphon, tmp_path):
    path = as_csv(tmp_path, pd.concat([shop(), shop()]))

    code, out, _ = antiphon(
        path, "--variant", "arm", "--control", "none", "--unit", "user", "--stratum", "country",
        "--metric", "name=spend,cap=p95", "--metric",
        "name=per,kind=ratio,numerator=spend,denominator=visits", "--cupac", "orders,age", "--json",
    )  # fmt: skip

    assert code == 0
    assert only(out)["cuped"]["variance_reduction"] > 0.2
    assert only(out, "per")["cuped"]["applied"]


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_face_says_what_it_removed(antiphon, tmp_path, form):
    page = tmp_path / "page"

    antiphon(as_csv(tmp_path, shop()), *BASIC, *CUPAC, "--format", form, "--out", page)

    assert "spend, predicted" in page.read_text()


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (("--cupac", "spend"), "what the experiment is about"),
        (("--cupac", "arm,age"), "what the experiment is about"),
        (("--cupac", "ages"), 'Did you mean "age"?'),
        (("--cupac", "age,,orders"), "is not COLUMN,COLUMN"),
        (("--cupac", "age", "--cluster", "country"), "give one of them"),
        (("--cupac", "age", "--adjust", "none"), "give one of them"),
        (
            ("--cupac", "age", "--measured-at", "age=late", "--exposed-at", "early"),
            "after exposure",
        ),
    ],
)
def test_what_cannot_be_predicted_from_is_refused(refused, tmp_path, extra, says):
    frame = shop(200).assign(early="2024-01-01T00:00:00Z", late="2024-02-01T00:00:00Z")

    assert says in refused(as_csv(tmp_path, frame), *BASIC, *extra)
