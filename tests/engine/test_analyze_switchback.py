"""`antiphon analyze --switchback`: periods out of a file, read as the library reads them."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments.estimation.switchback import switchback
from tests.engine.test_analyze_command import antiphon, refused

__all__ = ["antiphon", "refused"]

BASIC = ("--variant", "arm", "--control", "off", "--metric", "wait", "--switchback", "at")


def market(n: int = 120, *, lift: float = 2.0, every: int = 1, seed: int = 1) -> pd.DataFrame:
    """Rides of a city, some in each hour; a coin decides about the hour."""
    rng = np.random.default_rng(seed)
    treated = rng.integers(0, 2, -(-n // every)).repeat(every)[:n]
    hour = np.repeat(np.arange(n), rng.integers(1, 5, n))
    start = pd.Timestamp("2024-01-01T05:00:00")
    return pd.DataFrame({
        "at": start + pd.to_timedelta(hour * 60 + rng.integers(0, 60, len(hour)), unit="min"),
        "arm": np.where(treated[hour] == 1, "on", "off"), "hour": hour,
        "wait": rng.normal(0, 1, len(hour)) + lift * treated[hour],
    })  # fmt: skip


def as_file(tmp_path, frame, kind="csv"):
    path = tmp_path / f"rides.{kind}"
    kept = frame.drop(columns="hour").sample(frac=1, random_state=1)
    kept.to_csv(path, index=False) if kind == "csv" else kept.to_parquet(path)
    return path


@pytest.mark.parametrize(("kind", "order", "every"), [("csv", 0, 1), ("parquet", 2, 2)])
def test_the_effect_is_that_of_the_periods_means(antiphon, tmp_path, kind, order, every):
    frame = market(every=every)
    path = as_file(tmp_path, frame, kind)

    code, out, _ = antiphon(
        path, *BASIC, "--period", "1h", "--carryover", str(order), "--switch-every", str(every),
        "--json",
    )  # fmt: skip

    assert code == 0
    told = json.loads(out)
    by_hour = frame.groupby("hour")
    expected = switchback(
        by_hour.wait.mean().tolist(), (by_hour.arm.first() == "on").astype(int).tolist(),
        starts=range(0, 120, every), order=order, alpha=0.05, rng=np.random.default_rng(1),
    )  # fmt: skip
    (metric,) = told["metrics"]
    assert told["switchback"]["periods"] == 120
    assert metric["estimate"] == pytest.approx(expected.effect.estimate, rel=1e-9)
    assert metric["ci_lower"] == pytest.approx(expected.effect.ci_lower, rel=1e-9)
    assert metric["randomization_pvalue"] == expected.randomization_pvalue
    assert metric["n_washout"] == expected.n_washout


@pytest.mark.parametrize("form", ["text", "md"])
def test_people_read_the_effect_and_both_p_values(antiphon, tmp_path, form):
    out = antiphon(as_file(tmp_path, market()), *BASIC, "--period", "1h", "--format", form)[1]

    assert "120 periods" in out
    assert "by assigning anew p" in out


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ((), "needs --period"),
        (("--period", "soon"), "is no span"),
        (("--period", "2h"), "has rows of both variants"),
        (("--period", "1h", "--cluster", "arm"), "is about units"),
        (("--period", "1h", "--switch-every", "0"), "every 1 or more"),
        (("--period", "1h", "--carryover", "-1"), "-1"),
        (("--period", "10m"), "has no row"),
    ],
)
def test_what_is_no_switchback_is_refused(refused, tmp_path, extra, says):
    assert says in refused(as_file(tmp_path, market()), *BASIC, *extra)
