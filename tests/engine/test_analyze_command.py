"""`antiphon analyze`, from its arguments to its output and exit code."""

import argparse
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt
import zstandard

from engine.commands import analyze as command


def data_file(name):
    folder = os.environ.get("ANTIPHON_TEST_DATA")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "data"
    if not (root / name).is_file():
        pytest.skip(f"real data {name} is not here; set ANTIPHON_TEST_DATA to its folder")
    return root / name


@pytest.fixture
def antiphon(capsys):
    """Run the command; what it returned and printed."""

    def call(*arguments):
        parser = argparse.ArgumentParser(prog="antiphon analyze")
        command.add_arguments(parser)
        code = command.run(parser.parse_args([str(argument) for argument in arguments]))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def refused(antiphon):
    """Run the command; its one line of complaint."""

    def call(*arguments):
        code, out, err = antiphon(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("antiphon analyze: ")
        assert err.count("\n") == 1
        return err

    return call


def shop(n=900, *, seed=4):
    """One row a unit, the shape of the real e-mail experiment."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, n)
    history = rng.gamma(2, 100, n).round(2)
    visit = (rng.random(n) < 0.3 + 0.1 * arm).astype(int)
    spend = (visit * rng.gamma(2, 20 + history / 10, n)).round(2)
    return pd.DataFrame(
        {
            "id": [f"u{i:05}" for i in range(n)],
            "segment": np.where(arm, "mail", "none"),
            "visit": visit,
            "spend": spend,
            "history": history,
        }
    )


def a_file(tmp_path, text, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


BASIC = ("--variant", "segment", "--control", "none")
SMALL = ("--variant", "v", "--control", "a", "--metric", "y")


def test_hillstrom_has_its_published_figures(antiphon):
    code, out, err = antiphon(
        data_file("hillstrom.csv.gz"), "--variant", "segment", "--control", "No E-Mail",
        "--metric", "name=visit,kind=proportion",
        "--metric", "name=spend,kind=mean,covariate=history", "--json",
    )  # fmt: skip

    assert (code, err) == (0, "")
    found = json.loads(out)
    assert {name: arm["n"] for name, arm in found["variants"].items()} == {
        "No E-Mail": 21_306, "Mens E-Mail": 21_307, "Womens E-Mail": 21_387,
    }  # fmt: skip
    visit, spend = found["metrics"]["visit"], found["metrics"]["spend"]
    assert visit["Mens E-Mail"]["treatment"] == pytest.approx(0.18276, abs=5e-6)
    assert visit["Womens E-Mail"]["treatment"] == pytest.approx(0.15140, abs=5e-6)
    assert visit["Mens E-Mail"]["control"] == pytest.approx(0.10617, abs=5e-6)
    assert spend["Mens E-Mail"]["treatment"] == pytest.approx(1.4226, abs=5e-5)
    assert spend["Womens E-Mail"]["treatment"] == pytest.approx(1.0772, abs=5e-5)
    assert spend["Mens E-Mail"]["unadjusted"]["pvalue"] == pytest.approx(1.2e-7, rel=0.05)
    assert found["srm"]["passed"] is True


def write(frame, path):
    text = frame.to_csv(index=False)
    match "".join(path.suffixes):
        case ".csv":
            path.write_text(text)
        case ".csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        case ".csv.zst":
            path.write_bytes(zstandard.compress(text.encode()))
        case ".tsv":
            path.write_text(frame.to_csv(index=False, sep="\t"))
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case ".jsonl.gz":
            lines = frame.to_json(orient="records", lines=True)
            path.write_bytes(gzip.compress(lines.encode()))
        case ".parquet":
            frame.to_parquet(path)


@pytest.mark.parametrize(
    "suffix", ["csv", "csv.gz", "csv.zst", "tsv", "jsonl", "jsonl.gz", "parquet"]
)
def test_every_format_gives_tea_tastings_numbers(antiphon, tmp_path, suffix):
    frame = shop(3_000)  # Enough for Welch's interval; small proportions have one of their own.
    path = tmp_path / f"shop.{suffix}"
    write(frame, path)

    code, out, err = antiphon(
        path, *BASIC, "--metric", "name=visit,kind=proportion",
        "--metric", "spend,covariate=history",
        "--metric", "name=each,kind=ratio,numerator=spend,denominator=visit",
        "--adjust", "pooled", "--json",
    )  # fmt: skip

    assert (code, err) == (0, "")
    expected = tt.Experiment(
        visit=tt.Mean("visit"),
        spend=tt.Mean("spend", "history"),
        each=tt.RatioOfMeans("spend", "visit"),
    ).analyze(frame.assign(variant=(frame.segment == "mail").astype(int)), control=0)
    for name in ("visit", "spend", "each"):
        found, oracle = json.loads(out)["metrics"][name]["mail"], expected[name]
        assert found["lift_abs"]["estimate"] == pytest.approx(oracle.effect_size, rel=1e-9)
        assert found["lift_abs"]["ci_lower"] == pytest.approx(oracle.effect_size_ci_lower, rel=1e-9)
        assert found["pvalue"] == pytest.approx(oracle.pvalue, rel=1e-9)
        assert found["std_error"] == pytest.approx(oracle.effect_size / oracle.statistic, rel=1e-9)


def test_several_rows_of_a_unit_are_rolled_up(antiphon, tmp_path):
    frame = shop()
    halves = pd.concat([frame.assign(spend=frame.spend / 2)] * 2)
    write(frame, tmp_path / "once.csv")
    write(halves, tmp_path / "twice.csv")
    metrics = ("--metric", "name=visit,kind=proportion", "--metric", "spend", "--json")

    once = json.loads(antiphon(tmp_path / "once.csv", *BASIC, *metrics)[1])
    sums = ("--unit", "id", "--unit-rows", "sum")
    twice = json.loads(antiphon(tmp_path / "twice.csv", *BASIC, *sums, *metrics)[1])

    assert twice["variants"] == once["variants"]
    for name in ("visit", "spend"):
        assert twice["metrics"][name]["mail"]["pvalue"] == pytest.approx(
            once["metrics"][name]["mail"]["pvalue"], rel=1e-9
        )
    assert any("rolled up" in note for note in twice["notes"])


def test_units_in_two_variants_are_counted_and_left_out(antiphon, tmp_path):
    frame = shop()
    crossed = frame.head(7).assign(segment="mail")
    crossed = pd.concat([crossed, frame.head(7).assign(segment="none")])
    write(pd.concat([frame.iloc[7:], crossed]), tmp_path / "mixed.csv")

    code, out, _ = antiphon(
        tmp_path / "mixed.csv", *BASIC, "--unit", "id", "--metric", "spend", "--json"
    )

    found = json.loads(out)
    assert code == 0
    assert sum(arm["n"] for arm in found["variants"].values()) == 893
    assert any(note.startswith("7 of 900 units (0.78 %) appear in more") for note in found["notes"])


def test_the_landing_page_log_as_it_comes_is_refused_and_once_unwrapped_is_read(
    antiphon, refused, tmp_path
):
    path = data_file("landing_page_ab_prefix_malformed.csv.gz")
    arguments = (
        "--unit", "user_id", "--variant", "group", "--control", "control",
        "--metric", "name=converted,kind=proportion", "--json",
    )  # fmt: skip
    lines = gzip.decompress(path.read_bytes()).decode().replace('"', "").splitlines()

    assert "every line is wrapped in quotes" in refused(path, *arguments)
    cut = a_file(tmp_path, "\n".join(lines), "cut.csv")
    assert f"{cut}:{len(lines)}: expected Number of Columns: 5 Found: 3" in refused(cut, *arguments)

    whole = a_file(tmp_path, "\n".join(lines[:-1]), "whole.csv")
    _, mended, _ = antiphon(path, *arguments, "--repair", "--received", "landing_page")
    _, out, _ = antiphon(whole, *arguments)
    seen = {}
    for line in lines[1:-1]:
        user, _, group, *_ = line.split(",")
        seen.setdefault(user, set()).add(group)
    mixed = sum(len(groups) == 2 for groups in seen.values())
    found = json.loads(out)
    assert mixed > 0
    assert sum(arm["n"] for arm in found["variants"].values()) == len(seen) - mixed
    assert any(note.startswith(f"{mixed} of {len(seen):,} units") for note in found["notes"])
    again = json.loads(mended)
    assert again["metrics"] == found["metrics"]
    n_lines = len(lines) - 1
    assert (
        f"{n_lines:,} lines were wrapped in quotes as a whole and were unwrapped" in again["notes"]
    )
    assert any(f"1 of {n_lines:,} lines have other than 5 fields" in it for it in again["notes"])
    # The data's own description: 791 rows where group and page disagree.
    assert any(f"in 791 of {n_lines - 1:,} rows" in note for note in again["notes"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("v,y\n", "a header but no row"),
        ("v,x\na,1\nb,2\n", 'no column "y"; columns are v, x'),
        ("v,y\na,1\nb,two\n", 'row 2, column "y" holds "two", which is not a finite number'),
        ("v,y\na,1\nb,inf\n", 'row 2, column "y" holds "inf"'),
        ("v,y\na,1\nb,NaN\n", 'row 2, column "y" holds "NaN"'),
        ('v,y\na,1\nb,"1,5"\n', 'holds "1,5"'),
        ("v,y\na,1\na,2\n", 'holds only "a"; there is nothing to compare with'),
        ("v,y\nA,1\nb,2\n", 'has no variant "a"; found "A", "b"'),
        ("v,y\na,1\nb\n", "data.csv:3: expected Number of Columns: 2 Found: 1"),
        ('v,y\na,1\nb,"2\n', "data.csv:3: value with unterminated quote"),
        (b"v,y\na,\xff\nb,2\n", "data.csv:2: invalid unicode"),
        ("v,y\na,1\nb,\na,2\nb,3\n", 'column "y" is empty in 1 units'),
        ("v,y,y\na,1,1\n", "empty or repeated column names"),
        ("v,y\na,1\nb,2\na,1\n", "'b' has 1 units; at least 2 are needed"),
        ("\n\nv,y\n", "line 1 is empty"),
        (b"\x00\x01\x02,\n", "NUL bytes"),
        ('"v,y"\n"a,1"\n', "every line is wrapped in quotes"),
    ],
)
def test_bad_files_get_one_clear_line(refused, tmp_path, text, expected):
    assert expected in refused(a_file(tmp_path, text), *SMALL)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("data.csv.gz", "v,y\na,1\n", "cannot be unpacked"),
        ("data.csv.zst", "v,y\na,1\n", "cannot be unpacked"),
        ("data.parquet", "v,y\na,1\n", "data.parquet"),
        ("data.jsonl", '{"v":"a","y":1}\n{"v":"b","y":tru\n', "Malformed JSON"),
        ("data.xlsx", "PK", "allowed are .csv"),
        ("data.jsonl", '{"v":"a","y":[1]}\n{"v":"b","y":[2]}\n', "not numbers"),
    ],
)
def test_files_that_are_not_what_their_name_says_get_one_clear_line(
    refused, tmp_path, name, content, expected
):
    assert expected in refused(a_file(tmp_path, content, name), *SMALL)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("name=y,knd=mean", 'did you mean "kind"?'),
        ("name=y,kind=propotion", 'did you mean "proportion"?'),
        ("kind=mean", "name= is missing"),
        ("name=y,kind=ratio", "needs numerator= and denominator="),
        ("name=y,cap=99", "not a percentile such as p99"),
        ("name=y,covariate=y", "both outcome and covariate"),
        ("name=y,name=z", "given twice"),
        ("name=y,better=up", "allowed are higher, lower"),
        ("name=y,kind=quantile", "a quantile needs q= between 0 and 1"),
        ("name=y,kind=quantile,q=90", "is not a share between 0 and 1"),
        ("name=y,kind=quantile,q=0.9", "too few"),
        ("name=y,q=0.9", "belongs to kind=quantile only"),
        ("name=z,kind=count", "is a count: a whole number from 0 on"),
        ("name=z,money=EUR", "row 2, column \"z\" holds -1, but 'z' refuses values below 0"),
        ("name=y,kind=", "has no value"),
        ("name=yy", 'did you mean "y"?'),
        ("name=y,kind=proportion", "is a proportion: 0 or 1"),
    ],
)
def test_bad_metrics_get_one_clear_line(refused, tmp_path, metric, expected):
    path = a_file(tmp_path, "v,y,z\na,1,0\nb,2,-1\na,3,0\nb,4,2\n")

    found = refused(path, "--variant", "v", "--control", "a", "--metric", metric)

    assert expected.lower() in found.lower()


def test_a_missing_file_is_named(refused, tmp_path):
    assert "there is no such file" in refused(tmp_path / "absent.csv", *SMALL)


def test_a_name_with_pattern_signs_means_that_one_file(antiphon, tmp_path):
    a_file(tmp_path, "v,y\na,9\nb,9\n", "x1.csv")
    path = a_file(tmp_path, "v,y\na,1\nb,2\na,3\nb,4\n", "x[1]*.csv")

    code, out, _ = antiphon(path, *SMALL, "--json")

    assert code == 0
    assert json.loads(out)["variants"] == {"a": {"n": 2}, "b": {"n": 2}}


def test_a_metric_that_is_constant_is_answered_without_a_test(antiphon, tmp_path):
    path = a_file(tmp_path, "v,y\n" + "a,1\nb,1\n" * 5)

    code, out, _ = antiphon(path, *SMALL, "--json")

    found = json.loads(out)["metrics"]["y"]["b"]
    assert code == 0
    assert found["pvalue"] is None
    assert found["verdict"]["word"] == "inconclusive"


def test_unequal_plans_need_their_weights(antiphon, tmp_path):
    path = a_file(tmp_path, "v,y\n" + "a,1\na,2\nb,1\nb,3\nb,2\nb,1\nb,4\nb,2\n" * 50)

    _, equal, _ = antiphon(path, *SMALL, "--json")
    _, weighted, _ = antiphon(path, *SMALL, "--weights", "a=1,b=3", "--json")

    assert json.loads(equal)["metrics"]["y"]["b"]["verdict"]["word"] == "withheld"
    assert json.loads(weighted)["srm"]["passed"] is True


def test_empty_cells_mean_zero_only_when_told(antiphon, tmp_path):
    path = a_file(tmp_path, "v,y\na,1\nb,\na,3\nb,4\n")

    _, out, _ = antiphon(
        path, "--variant", "v", "--control", "a", "--metric", "name=y,missing=zero", "--json"
    )

    assert json.loads(out)["metrics"]["y"]["b"]["treatment"] == 2.0


def test_covariates_with_gaps_are_filled_and_flagged_without_bias(antiphon, tmp_path):
    frame = shop(2_000)
    gappy = frame.assign(history=frame.history.where(frame.index % 5 > 0))
    write(frame, tmp_path / "full.csv")
    write(gappy, tmp_path / "gappy.csv")
    metric = ("--metric", "spend,covariate=history", "--json")

    full = json.loads(antiphon(tmp_path / "full.csv", *BASIC, *metric)[1])
    found = json.loads(antiphon(tmp_path / "gappy.csv", *BASIC, *metric)[1])

    entry, reference = (x["metrics"]["spend"]["mail"] for x in (found, full))
    assert entry["cuped"]["note"] == "by history, history missing"
    assert entry["std_error"] < entry["unadjusted"]["std_error"]
    gap = entry["lift_abs"]["estimate"] - reference["lift_abs"]["estimate"]
    assert abs(gap) < entry["std_error"] / 2
    assert any('"history" is empty for 400 units' in note for note in found["notes"])


def test_a_cap_is_taken_over_values_that_are_not_zero(antiphon, tmp_path):
    # 97 of 100 spend nothing: the plain 99th percentile would be near zero.
    rows = "".join(f"{'ab'[i % 2]},{i if i >= 970 else 0}\n" for i in range(1_000))
    path = a_file(tmp_path, "v,y\n" + rows)

    _, out, _ = antiphon(
        path, "--variant", "v", "--control", "a", "--metric", "name=y,cap=p90", "--json"
    )

    found = json.loads(out)
    cap = np.quantile(range(970, 1_000), 0.9)
    capped = np.minimum([i if i >= 970 else 0 for i in range(0, 1_000, 2)], cap)
    assert found["metrics"]["y"]["b"]["control"] == pytest.approx(capped.mean(), rel=1e-12)
    assert any(f"capped at {cap:g}" in note for note in found["notes"])


def test_times_in_milliseconds_keep_their_variance(antiphon, tmp_path):
    # A well-known library is 27 % off here, because it sums raw squares.
    at = 1.7e12 + np.random.default_rng(2).normal(0, 1e5, 2_000).round()
    frame = pd.DataFrame({"v": np.where(np.arange(2_000) % 2, "a", "b"), "y": at})
    path = tmp_path / "times.parquet"
    frame.to_parquet(path)

    _, out, _ = antiphon(path, *SMALL, "--json")

    low, high = (frame.y[frame.v == name] - 1.7e12 for name in "ab")
    expected = (low.var() / len(low) + high.var() / len(high)) ** 0.5
    assert json.loads(out)["metrics"]["y"]["b"]["std_error"] == pytest.approx(expected, rel=1e-9)


def test_a_covariate_that_changes_within_a_unit_is_refused(refused, tmp_path):
    path = a_file(tmp_path, "u,v,y,x\n1,a,1,5\n1,a,1,6\n2,b,1,5\n3,a,1,2\n4,b,2,2\n")

    found = refused(
        path, "--unit", "u", "--variant", "v", "--control", "a", "--metric", "y,covariate=x"
    )

    assert 'covariate "x" changes between the rows of u "1"' in found


@pytest.mark.parametrize(
    ("method", "said"),
    [("sequential", "no --planned-sample"), ("bayesian", "not peeking-proof"), ("fixed", "once")],
)
def test_each_method_says_how_it_may_be_read(antiphon, tmp_path, method, said):
    write(shop(), tmp_path / "shop.csv")

    code, out, _ = antiphon(
        tmp_path / "shop.csv", *BASIC, "--metric", "spend", "--method", method, "--json"
    )

    found = json.loads(out)
    assert code == 0
    assert any(said in note for note in found["notes"])
    assert (found["metrics"]["spend"]["mail"]["bayes"] is not None) == (method == "bayesian")


def test_the_html_report_is_written_beside_us_or_where_told(antiphon, tmp_path, monkeypatch):
    write(shop(), tmp_path / "shop.csv")
    monkeypatch.chdir(tmp_path)

    code, out, _ = antiphon("shop.csv", *BASIC, "--metric", "spend", "--format", "html")
    _, other, _ = antiphon(
        "shop.csv", *BASIC, "--metric", "spend", "--format", "md", "--out", "x.md"
    )

    assert (code, out.strip(), other.strip()) == (0, "shop.report.html", "x.md")
    assert (tmp_path / "shop.report.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "x.md").read_text().startswith("## shop.csv")


def test_a_place_that_cannot_be_written_is_named(refused, tmp_path):
    write(shop(), tmp_path / "shop.csv")

    found = refused(
        tmp_path / "shop.csv", *BASIC, "--metric", "spend", "--out", tmp_path / "no" / "x.txt"
    )

    assert "cannot be written" in found
