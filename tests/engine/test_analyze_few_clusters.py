"""`antiphon analyze --cluster` with a handful of clusters: assigned anew, not approximated."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from tests.engine.test_analyze_command import antiphon, refused
from tests.rig.sizes import scaled

__all__ = ["antiphon", "refused"]

BASIC = ("--variant", "arm", "--control", "plain", "--cluster", "shop")
BOUGHT = ("--metric", "spend", "--metric", "name=per_visit,kind=ratio,numerator=spend,"
          "denominator=visits")  # fmt: skip


def shops(n_plain: int = 4, n_new: int = 5, *, seed: int = 1, lift: float = 0.0) -> pd.DataFrame:
    """Customers of shops, which differ more among each other than customers do."""
    rng = np.random.default_rng(seed)
    n_shops = n_plain + n_new
    sizes = rng.integers(20, 60, n_shops)
    shop = np.repeat(np.arange(n_shops), sizes)
    is_new = shop >= n_plain
    base = rng.normal(20, 3, n_shops)[shop]
    return pd.DataFrame({
        "shop": [f"s{it}" for it in shop], "arm": np.where(is_new, "new", "plain"),
        "spend": base + lift * is_new + rng.normal(0, 5, len(shop)),
        "visits": rng.integers(1, 4, len(shop)),
    })  # fmt: skip


def as_csv(tmp_path, frame):
    path = tmp_path / "shops.csv"
    frame.to_csv(path, index=False)
    return path


def by_every_assignment(frame: pd.DataFrame, above: str, below: str | None) -> float:
    """The test written out: each choice of shops, the difference over its standard error."""
    top = frame.groupby("shop")[above].sum()
    base = frame.groupby("shop")[below].sum() if below else frame.groupby("shop").size()
    treated = set(frame[frame.arm == "new"].shop)

    def score(chosen: set[str]) -> float:
        gap, variance = 0.0, 0.0
        for inside, sign in ((chosen, 1), (set(top.index) - chosen, -1)):
            t, b = top[list(inside)], base[list(inside)]
            ratio = t.sum() / b.sum()
            gap += sign * ratio
            spread = ((t - ratio * b) ** 2).sum()
            variance += spread * len(t) / (len(t) - 1) / b.sum() ** 2
        return abs(gap) / variance**0.5

    found = score(treated)
    all_scores = [score(set(it)) for it in combinations(top.index, len(treated))]
    return float(np.mean([it >= found * (1 - 1e-9) for it in all_scores]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_p_of_few_clusters_is_the_share_of_assignments_as_extreme(antiphon, tmp_path, kind):
    frame = shops(lift=2.0)
    path = as_csv(tmp_path, frame)
    if kind == "parquet":
        path = tmp_path / "shops.parquet"
        frame.to_parquet(path)

    code, out, _ = antiphon(path, *BASIC, *BOUGHT, "--json")

    assert code == 0
    metrics = json.loads(out)["metrics"]
    for name, above, below in (("spend", "spend", None), ("per_visit", "spend", "visits")):
        found = metrics[name]["new"]
        expected = by_every_assignment(frame, above, below)
        assert found["randomization_pvalue"] == pytest.approx(expected, abs=1e-12)
        assert found["pvalue"] >= found["randomization_pvalue"]
        assert any("the randomization test says" in it for it in found["notes"])


def test_three_shops_an_arm_can_prove_nothing_and_the_report_says_so(antiphon, tmp_path):
    path = as_csv(tmp_path, shops(3, 3, lift=40.0))

    _, out, _ = antiphon(path, *BASIC, "--metric", "spend", "--json")

    found = json.loads(out)["metrics"]["spend"]["new"]
    assert found["lift_abs"]["ci_lower"] > 0  # Student's t would have called it.
    assert found["randomization_pvalue"] == pytest.approx(2 / 20)
    assert found["verdict"]["word"] != "effect detected"
    assert any("with 20 ways to assign so few clusters no p is below 0.1" in it
               for it in found["notes"])  # fmt: skip


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_face_shows_both_p_values(antiphon, tmp_path, form):
    path = as_csv(tmp_path, shops())
    page = tmp_path / "page"

    antiphon(path, *BASIC, "--metric", "spend", "--format", form, "--out", page)

    assert "4 against 5 clusters: the randomization test says" in page.read_text()


@pytest.mark.parametrize(
    ("frame", "extra"),
    [
        (shops(25, 30), ()),
        (shops(), ("--method", "sequential", "--planned-sample", "900")),
    ],
    ids=["many clusters", "looked at more than once"],
)
def test_many_clusters_and_other_methods_have_no_such_test(antiphon, tmp_path, frame, extra):
    path = as_csv(tmp_path, frame)

    _, out, _ = antiphon(path, *BASIC, "--metric", "spend", *extra, "--json")

    assert json.loads(out)["metrics"]["spend"]["new"]["randomization_pvalue"] is None


def test_a_belief_about_a_handful_of_shops_comes_with_the_assignments_anew(antiphon, tmp_path):
    frame = shops(lift=2.0)

    _, out, _ = antiphon(
        as_csv(tmp_path, frame), *BASIC, "--metric", "spend", "--method", "bayesian", "--json"
    )

    found = json.loads(out)["metrics"]["spend"]["new"]
    expected = by_every_assignment(frame, "spend", None)
    assert found["randomization_pvalue"] == pytest.approx(expected, abs=1e-12)
    assert found["pvalue"] == 1.0
    assert any("this method waits for more" in note for note in found["notes"])


def test_without_an_effect_few_clusters_are_called_different_no_more_than_they_may(
    antiphon, tmp_path
):
    """Five shops against six under no effect, whose sizes and means differ."""
    runs = scaled(40)
    found = 0
    for seed in range(runs):
        path = as_csv(tmp_path, shops(5, 6, seed=100 + seed))
        _, out, _ = antiphon(path, *BASIC, "--metric", "spend", "--json")
        verdict = json.loads(out)["metrics"]["spend"]["new"]["verdict"]["word"]
        found += verdict == "effect detected"
    # More than the 99.9 % quantile of the binomial would be more than 5 %.
    assert found <= 0.05 * runs + 3.1 * (0.05 * 0.95 * runs) ** 0.5


def test_the_same_file_in_another_order_gives_the_same_report(antiphon, tmp_path):
    frame = shops(15, 14)
    first = antiphon(as_csv(tmp_path, frame), *BASIC, "--metric", "spend", "--json")[1]
    turned = frame.iloc[::-1]
    second = antiphon(as_csv(tmp_path, turned), *BASIC, "--metric", "spend", "--json")[1]

    one, two = (json.loads(it)["metrics"]["spend"]["new"] for it in (first, second))
    assert one["randomization_pvalue"] == two["randomization_pvalue"]
