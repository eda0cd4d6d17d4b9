"""`antiphon analyze` on data that is wrong: refused with its row, or left out, counted and said."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.engine.test_analyze_command import SMALL, a_file, antiphon, refused, shop

__all__ = ["antiphon", "refused"]

UNITS = ("--unit", "u", "--variant", "v", "--control", "a")


def as_parquet(tmp_path, frame):
    path = tmp_path / "data.parquet"
    frame.to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("values", "shown"),
    [([1.0, np.inf, 2.0, 3.0], "inf"), ([1.0, 2.0, -np.inf, 3.0], "-inf")],
)
def test_infinities_in_parquet_are_refused_with_their_row(refused, tmp_path, values, shown):
    path = as_parquet(tmp_path, pd.DataFrame({"v": list("abab"), "y": values}))

    found = refused(path, *SMALL)

    assert f'row {values.index(float(shown)) + 1}, column "y" holds "{shown}"' in found


def test_nan_in_parquet_is_refused_as_a_value_and_as_a_covariate(refused, tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "data.parquet"
    table = pyarrow.table({
        "v": list("abab"), "y": [1.0, 2.0, 3.0, 4.0], "x": [1.0, float("nan"), 3.0, 4.0],
    })  # fmt: skip
    pyarrow.parquet.write_table(table, path)

    bare = ("--variant", "v", "--control", "a")
    assert 'row 2, column "x" holds "nan"' in refused(path, *bare, "--metric", "name=x")
    assert 'row 2, column "x" holds "nan"' in refused(path, *bare, "--metric", "y,covariate=x")


def test_empty_outcomes_in_parquet_are_refused_and_empty_covariates_filled(
    antiphon, refused, tmp_path
):
    frame = shop(600)
    frame.loc[::7, "history"] = np.nan
    frame.loc[3, "spend"] = np.nan
    basic = ("--variant", "segment", "--control", "none", "--json", "--metric")
    path = as_parquet(tmp_path, frame)

    assert '"spend" is empty in 1 units (first in row 4)' in refused(path, *basic, "spend")
    code, out, _ = antiphon(path, *basic, "visit,covariate=history")

    assert code == 0
    assert any('"history" is empty for 86 units' in note for note in json.loads(out)["notes"])


def test_money_below_zero_is_refused_where_the_metric_says_money(antiphon, refused, tmp_path):
    path = a_file(tmp_path, "v,y\na,1\nb,-2\na,3\nb,4\nb,-9\n")

    found = refused(path, "--variant", "v", "--control", "a", "--metric", "name=y,money=EUR")
    code, _, _ = antiphon(
        path, "--variant", "v", "--control", "a", "--metric", "name=y,money=EUR,negative=allow"
    )

    assert 'row 2, column "y" holds -2' in found
    assert "2 rows are like this" in found
    assert code == 0


def test_rows_that_repeat_a_unit_count_once_and_different_ones_are_refused(
    antiphon, refused, tmp_path
):
    rows = "u,v,y\n1,a,5\n1,a,5\n2,b,3\n3,a,4\n4,b,1\n"
    same = a_file(tmp_path, rows, "same.csv")
    different = a_file(tmp_path, rows + "4,b,2\n", "different.csv")
    arguments = (*UNITS, "--metric", "y", "--json")

    _, out, _ = antiphon(same, *arguments)
    found = refused(different, *arguments)
    _, summed, _ = antiphon(different, *arguments, "--unit-rows", "sum")

    assert json.loads(out)["metrics"]["y"]["b"]["control"] == 4.5
    assert any(note.startswith("1 further rows") for note in json.loads(out)["notes"])
    assert 'column "y" changes between the rows of u "4"' in found
    assert "--unit-rows sum" in found
    summed_up = json.loads(summed)["metrics"]["y"]["b"]
    assert (summed_up["control"], summed_up["treatment"]) == (7.0, 3.0)


def test_a_unit_in_two_variants_is_counted_in_each_of_them(antiphon, tmp_path):
    frame = shop(900)
    crossed = frame.head(5).assign(segment="mail")
    path = as_parquet(tmp_path, pd.concat([frame.assign(segment="none").head(5), frame, crossed]))

    code, out, _ = antiphon(
        path, "--unit", "id", "--variant", "segment", "--control", "none", "--metric", "visit",
        "--json",
    )  # fmt: skip

    (note,) = [note for note in json.loads(out)["notes"] if "more than one variant" in note]
    assert code == 0
    assert note.startswith("5 of 900 units")
    assert "seen in mail 5, none 5" in note


def test_a_covariate_measured_after_exposure_is_refused(antiphon, refused, tmp_path):
    rows = ["v,y,x,seen,measured"]
    rows += [f"{'ab'[i % 2]},{i % 3},{i},2026-03-02T10:00:00Z,2026-03-01" for i in range(40)]
    metric = ("--metric", "y,covariate=x", "--exposed-at", "seen", "--measured-at", "x=measured")
    good = a_file(tmp_path, "\n".join(rows), "good.csv")
    late = a_file(
        tmp_path, "\n".join([*rows, "a,1,5,2026-03-02T10:00:00Z,2026-03-02T11:00:00Z"]), "late.csv"
    )
    bare = ("--variant", "v", "--control", "a")

    code, _, _ = antiphon(good, *bare, *metric)

    assert code == 0
    assert 'covariate "x" was measured after exposure in 1 rows' in refused(late, *bare, *metric)
    assert "--measured-at needs --exposed-at" in refused(
        good, *bare, "--metric", "y,covariate=x", "--measured-at", "x=measured"
    )
    assert '"z" is no covariate' in refused(
        good, *bare, "--metric", "y,covariate=x", "--exposed-at", "seen", "--measured-at", "z=seen"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_ten_thousand_variants_are_refused(refused, tmp_path, kind):
    frame = pd.DataFrame({"v": [f"v{i:05}" for i in range(10_000)], "y": np.arange(10_000.0)})
    path = tmp_path / f"many.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)

    assert '"v" has more than 50 distinct values; is it the variant column?' in refused(
        path, "--variant", "v", "--control", "v00000", "--metric", "y"
    )


def test_an_id_as_a_dimension_is_refused(refused, tmp_path):
    path = as_parquet(tmp_path, shop(900))

    found = refused(
        path, "--variant", "segment", "--control", "none", "--metric", "visit", "--dimension", "id"
    )

    assert '"id" has more than 100 distinct values; is it a stratum or dimension column?' in found


@pytest.mark.parametrize("name", ["cut.parquet", "cut.csv.gz"])
def test_a_file_that_is_cut_off_is_refused_in_one_line(refused, tmp_path, name):
    whole = tmp_path / f"whole.{name.partition('.')[2]}"
    frame = shop(5_000)
    frame.to_parquet(whole) if "parquet" in name else frame.to_csv(whole, index=False)
    data = whole.read_bytes()
    path = a_file(tmp_path, data[: len(data) // 2], name)

    assert name in refused(path, "--variant", "segment", "--control", "none", "--metric", "visit")


def test_strata_dimensions_clusters_and_quantiles_come_through_the_command(antiphon, tmp_path):
    frame = shop(4_000).assign(
        country=lambda it: np.where(it.index % 3, "DE", "FR"),
        shop=lambda it: [f"{arm} s{i % 200}" for i, arm in enumerate(it.segment)],
    )
    path = as_parquet(tmp_path, frame)
    basic = ("--variant", "segment", "--control", "none", "--json")

    _, by_stratum, _ = antiphon(
        path, *basic, "--metric", "spend", "--stratum", "country", "--dimension", "country"
    )
    _, clustered, _ = antiphon(path, *basic, "--metric", "spend", "--cluster", "shop")
    _, ninth, _ = antiphon(path, *basic, "--metric", "name=spend,kind=quantile,q=0.9")

    plain = json.loads(antiphon(path, *basic, "--metric", "spend")[1])["metrics"]["spend"]["mail"]
    stratified = json.loads(by_stratum)["metrics"]["spend"]["mail"]
    assert stratified["lift_abs"]["estimate"] == pytest.approx(
        plain["lift_abs"]["estimate"], rel=0.05
    )
    in_clusters = json.loads(clustered)["metrics"]["spend"]["mail"]
    assert in_clusters["lift_abs"]["estimate"] == pytest.approx(plain["lift_abs"]["estimate"])
    mail = frame[frame.segment == "mail"].spend
    assert json.loads(ninth)["metrics"]["spend"]["mail"]["treatment"] == pytest.approx(
        np.quantile(mail, 0.9)
    )


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("data.jsonl", "{}\n", "only .csv and .tsv files"),
        ("data.csv", "y\n1\n", "names a single column"),
        ("absent.csv", None, "there is no such file"),
    ],
)
def test_what_cannot_be_mended_says_why(refused, tmp_path, name, text, says):
    path = tmp_path / name if text is None else a_file(tmp_path, text, name)

    assert says in refused(path, *SMALL, "--repair")


@pytest.mark.parametrize("text", ["v,y\r,x\na,1,2\nb,2,3\n", "v,y\ra,1\rb,2\r"])
@pytest.mark.parametrize("more", [(), ("--repair",)])
def test_a_carriage_return_inside_the_header_is_refused_in_words(refused, tmp_path, text, more):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())

    assert "a carriage return without a line feed" in refused(path, *SMALL, *more)


def test_a_cluster_in_both_variants_is_no_cluster_that_was_randomised(refused, tmp_path):
    rows = [f"{'ab'[i % 2]},{i % 7},c{i % 5 if i < 40 else i}" for i in range(44)]
    path = a_file(tmp_path, "v,y,c\n" + "\n".join(rows) + "\n")

    found = refused(path, *SMALL, "--cluster", "c")

    assert '5 of 9 clusters of "c" are in more than one variant: what was randomised?' in found


def test_a_variant_whose_values_are_all_alike_beside_one_that_varies_is_told(antiphon, tmp_path):
    rows = [f"a,10\nb,{20 + i % 7}" for i in range(40)]
    path = a_file(tmp_path, "v,y\n" + "\n".join(rows) + "\n")

    code, out, _ = antiphon(path, *SMALL)

    assert code == 0
    assert "every unit of the control has the same value, 10" in " ".join(out.split())


def test_the_outcome_as_its_own_covariate_is_left_out_and_named(antiphon, tmp_path):
    rows = [f"{'ab'[i % 2]},{i % 7 + i % 2},{2 * (i % 7 + i % 2) + 1}" for i in range(80)]
    path = a_file(tmp_path, "v,y,x\n" + "\n".join(rows) + "\n")

    plain = json.loads(antiphon(path, *SMALL, "--json")[1])["metrics"]["y"]["b"]
    code, out, _ = antiphon(path, *SMALL[:-1], "y,covariate=x", "--json")
    found = json.loads(out)["metrics"]["y"]["b"]

    assert code == 0
    assert found["lift_rel"] == plain["lift_rel"]
    assert any("'x' explains the outcome entirely" in note for note in found["notes"])
