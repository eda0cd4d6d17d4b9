"""Uplift by command over a past: the mail that pays to be aimed is accepted, the other refused."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.errors import UsageError
from engine.demo.mail_2008 import ARMS, EXPERIMENT, main, write_workspace
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.experiments.data import data_file
from tests.rig.sizes import SCALE

COLUMNS = (
    "recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel",
    "segment", "visit", "conversion", "spend",
)  # fmt: skip
ENDS = "2008-04-04T00:00:00Z"
"""One training after the visits of all are whole: the models learn every Thursday."""


def an_experiment(path: Path, *, n: int = 6_000, seed: int = 3) -> Path:
    """The same shape, invented: women's mail moves its buyers alone, men's everybody alike."""
    rng = np.random.default_rng(seed)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for _ in range(n):
            arm = list(ARMS)[int(rng.integers(3))]
            womens = int(rng.random() < 0.5)
            base = 0.15 if womens else 0.4  # the likeliest to come anyway are others
            lifts = {"No E-Mail": 0.0, "Mens E-Mail": 0.1, "Womens E-Mail": 0.3 * womens - 0.05}
            rows.writerow([
                int(rng.integers(1, 13)), "-", round(float(rng.gamma(2.0, 120.0)), 2),
                int(rng.random() < 0.5), womens, ("Urban", "Rural")[int(rng.integers(2))],
                int(rng.random() < 0.5), ("Web", "Phone")[int(rng.integers(2))], arm,
                int(rng.random() < base + lifts[arm]), 0, 0,
            ])  # fmt: skip
    return path


def rehearsed(source: Path, folder: Path, antiphon: Antiphon, **options: Any) -> Path:
    write_workspace(source, folder / "mail", **options)
    said = antiphon(
        "simulate", folder / "mail", "--events", folder / "mail" / "past.jsonl.gz", "--until",
        ENDS, "--keep", folder / "seen", "--json",
    )  # fmt: skip
    assert said.json()["rejected"] == 0
    return folder / "seen"


def standing(folder: Path, antiphon: Antiphon) -> dict[str, str]:
    said = antiphon("model", "list", "--dir", folder, "--json")
    return {it["model"]: it["status"] for it in json.loads(said.out)["models"]}


def test_a_planted_uplift_is_learnt_on_schedule_and_by_command(
    tmp_path: Path, antiphon: Antiphon
) -> None:
    seen = rehearsed(an_experiment(tmp_path / "mail.csv.gz"), tmp_path, antiphon)

    womens = antiphon("model", "train", "womens-gain", "--dir", seen, "--dry-run", "--json")
    mens = antiphon("model", "train", "mens-gain", "--dir", seen, "--json")

    assert standing(seen, antiphon) == {"womens-gain": "champion", "mens-gain": "none"}
    assert json.loads(womens.out)["verdict"].startswith("Accepted")
    assert json.loads(mens.out)["status"] == "candidate"
    assert "Refused: the gain is not surely above zero" in json.loads(mens.out)["verdict"]


def test_everyone_has_the_arm_of_the_lot_and_no_exposure_is_off_plan(
    tmp_path: Path, antiphon: Antiphon
) -> None:
    source = an_experiment(tmp_path / "mail.csv.gz", n=900)
    n = write_workspace(source, tmp_path / "mail")
    given = ("simulate", tmp_path / "mail", "--events", tmp_path / "mail" / "past.jsonl.gz")

    antiphon(*given, "--schedules", "none", "--keep", tmp_path / "seen")

    said = antiphon("experiment", "report", EXPERIMENT, tmp_path / "seen", "--json")
    report = json.loads(said.out)
    assert 750 <= n <= 900
    text = json.dumps(report)
    assert "another variant than the one assigned" not in text
    with gzip.open(tmp_path / "mail" / "past.jsonl.gz", "rt") as file:
        shown = [
            it for line in file if (it := json.loads(line)).get("event") == "Experiment Viewed"
        ]
    assert len(shown) == n
    assert {it["properties"]["variation_name"] for it in shown} == set(ARMS.values())


@pytest.mark.slow
def test_of_the_real_mails_of_2008_the_womens_is_aimed_and_the_mens_refused(
    tmp_path: Path, antiphon: Antiphon
) -> None:
    source = data_file("hillstrom.csv.gz")

    # Half of them by default: all 64,000, with ANTIPHON_TEST_SCALE=2, take twice as long.
    seen = rehearsed(source, tmp_path, antiphon, n_max=int(32_000 * SCALE))

    assert standing(seen, antiphon) == {"womens-gain": "champion", "mens-gain": "none"}


def test_another_file_and_a_folder_that_is_taken_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("segment,visit\nWomens E-Mail,1\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")

    with pytest.raises(UsageError, match="line 2 is no row"):
        write_workspace(other, tmp_path / "mail")
    assert not (tmp_path / "mail").exists()
    assert main([str(other), str(tmp_path / "taken")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([str(other)]) == 2
