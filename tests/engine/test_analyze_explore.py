"""`antiphon analyze --explore`: a search for whom it works, marked as what it is."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.engine.test_analyze_command import antiphon, refused

__all__ = ["antiphon", "refused"]

BASIC = ("--variant", "arm", "--control", "none", "--metric", "name=visit,kind=proportion")
EXPLORE = ("--explore", "country", "--explore", "age", "--explore", "noise")


def mailed(n: int = 6_000, *, seed: int = 1, differing: float = 0.3) -> pd.DataFrame:
    """Visits; the mail works in France alone. Some ages are empty."""
    rng = np.random.default_rng(seed)
    country = rng.choice(["FR", "DE", "IT"], n)
    arm = rng.choice(["none", "mail"], n)
    rate = 0.2 + (arm == "mail") * np.where(country == "FR", differing, 0.0)
    frame = pd.DataFrame({
        "user": np.arange(n), "arm": arm, "country": country,
        "age": rng.integers(18, 80, n).astype(float), "noise": rng.normal(0, 1, n),
        "visit": (rng.random(n) < rate).astype(int),
    })  # fmt: skip
    frame.loc[::9, "age"] = np.nan
    return frame


def as_csv(tmp_path, frame, name="mailed.csv"):
    path = tmp_path / name
    frame.to_csv(path, index=False)
    return path


def found_by(out: str) -> dict:
    (segments,) = json.loads(out)["segments"]
    (dimension,) = segments["dimensions"]
    return dimension


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_country_in_which_it_works_is_found_and_marked_as_exploratory(antiphon, tmp_path, kind):
    path = as_csv(tmp_path, mailed())
    if kind == "parquet":
        path = tmp_path / "mailed.parquet"
        mailed().to_parquet(path)

    code, out, _ = antiphon(path, *BASIC, *EXPLORE, "--json")

    assert code == 0
    dimension = found_by(out)
    assert [it["level"] for it in dimension["levels"]] == ["country is FR", "country is not FR"]
    assert dimension["pvalue"] < 1e-6
    assert dimension["differs"] is False
    assert "exploratory" in dimension["watermark"]
    assert any("grown on 3,000 units drawn by lot" in it for it in json.loads(out)["notes"])


def test_rows_in_another_order_give_the_same_tree(antiphon, tmp_path):
    frame = mailed(2_000)
    given = ("--unit", "user", *BASIC, *EXPLORE, "--json")

    _, one, _ = antiphon(as_csv(tmp_path, frame), *given)
    _, other, _ = antiphon(as_csv(tmp_path, frame.sample(frac=1, random_state=3), "b.csv"), *given)

    assert found_by(one) == found_by(other)


def test_where_effects_are_alike_it_says_that_nothing_was_found(antiphon, tmp_path):
    path = as_csv(tmp_path, mailed(3_000, differing=0.0))

    code, out, _ = antiphon(path, *BASIC, *EXPLORE)

    assert code == 0
    assert "Explored, mail: no split of the units was worth making" in out


def test_too_few_units_are_said_and_the_result_is_read_all_the_same(antiphon, tmp_path):
    path = as_csv(tmp_path, mailed(120))

    code, out, _ = antiphon(path, *BASIC, *EXPLORE)

    assert code == 0
    assert "Explored, mail: an arm has" in out
    assert "visit" in out


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_face_shows_the_leaves_and_their_watermark(antiphon, tmp_path, form):
    path = as_csv(tmp_path, mailed())
    shown = tmp_path / "shown"

    code, _, _ = antiphon(path, *BASIC, *EXPLORE, "--format", form, "--out", shown)

    assert code == 0
    text = shown.read_text()
    assert "country is not FR" in text
    assert "exploratory" in text
    assert "no difference found" not in text


def test_what_the_experiment_is_about_cannot_be_explored(refused, tmp_path):
    path = as_csv(tmp_path, mailed(200))

    assert '"visit" is what the experiment is about' in refused(path, *BASIC, "--explore", "visit")
    assert '"arm" is what the experiment is about' in refused(path, *BASIC, "--explore", "arm")
    assert 'Did you mean "country"' in refused(path, *BASIC, "--explore", "contry")
    assert "give one of them" in refused(path, *BASIC, "--explore", "age", "--cluster", "country")
    assert "--explore needs the units themselves" in refused(
        path, *BASIC[:4], "--metric", "name=visit,sql=visit.sql", "--connection",
        "sqlite:///none.db", "--explore", "age",
    )  # fmt: skip


def test_a_ratio_cannot_be_explored(refused, tmp_path):
    path = as_csv(tmp_path, mailed(400).assign(orders=1))

    found = refused(
        path, *BASIC[:4], "--metric", "name=r,kind=ratio,numerator=visit,denominator=orders",
        "--explore", "age",
    )  # fmt: skip

    assert "a tree divides units by a number each; r is a ratio" in found
