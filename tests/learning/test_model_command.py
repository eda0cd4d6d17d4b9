"""`antiphon model`, `recommend` and `segment cluster` as people type them."""

import json
import re
from pathlib import Path

import pytest

from engine.commands.profile import _answer
from tests.engine.commanding import Antiphon
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.publishing import SETTINGS
from tests.engine.serving import Served
from tests.learning.shopping import CATALOG, MODELS, histories

_ = _no_database


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with its models and a year of orders, applied and loaded."""
    from engine.cli import main
    from engine.core.model.instants import DAY
    from engine.steady import present

    folder = tmp_path_factory.mktemp("commands") / "shop"
    files = {"antiphon.yaml": SETTINGS, **MODELS, "catalog/goods.csv": CATALOG}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    events = folder.parent / "events.jsonl"
    past = histories(120, until=present() - DAY)
    events.write_text(
        "\n".join(json.dumps({**it, "messageId": str(n)}) for n, it in enumerate(past))
    )
    assert main(["apply", str(folder)]) == 0
    assert main(["ingest", str(folder), str(events)]) == 0
    assert main(["tick", str(folder)]) == 0
    return folder


def test_a_model_is_trained_listed_evaluated_and_rolled_back(
    built: Path, antiphon: Antiphon, tmp_path: Path
) -> None:
    first = antiphon("model", "train", "also-bought", "--dir", built)
    second = antiphon("model", "train", "also-bought", "--dir", built, "--json")
    listed = antiphon("model", "list", "--dir", built)
    page = tmp_path / "report.html"
    judged = antiphon("model", "evaluate", "also-bought", "--html", page, "--dir", built)
    back = antiphon("model", "rollback", "also-bought", "--dir", built)

    assert first.code == 0, first.error
    assert "also-bought: run 1 is what is read now: nDCG@10" in first.out
    assert (second.json()["run"], second.json()["status"]) == (2, "champion")
    assert "also-bought  recommender  champion" in listed.out
    assert "run 1 retired" in judged.out
    assert page.read_text().startswith("<!doctype html>")
    assert "run 3 is what is read now: rolled back to run 1" in back.out


def test_a_rehearsal_keeps_nothing_and_a_refusal_is_a_no(built: Path, antiphon: Antiphon) -> None:
    before = antiphon("model", "evaluate", "hour", "--dir", built, "--json").json()["runs"]
    dry = antiphon("model", "train", "hour", "--dry-run", "--dir", built)
    early = antiphon("model", "train", "churn", "--as-of", "2020-01-01T00:00Z", "--dir", built)
    after = antiphon("model", "evaluate", "hour", "--dir", built, "--json").json()["runs"]

    assert (dry.code, "nothing is kept" in dry.out) == (0, True)
    assert (early.code, "churn learnt nothing (run 1)" in early.out) == (1, True)
    assert before == after


def test_what_is_mistyped_is_answered_with_the_nearest(built: Path, antiphon: Antiphon) -> None:
    for words, expected in (
        (("model", "train", "chrun"), 'no model "chrun"'),
        (("model", "rollback", "hour"), '"hour" has no run before the one that is read'),
        (("model", "evaluate", "hour", "--html", "x.html"), '"hour" has no page'),
        (("recommend", "churn", "u1"), '"churn" is a score, not a recommender'),
        (("recommend", "also-bought", "nobody"), 'no profile with the id "nobody"'),
        (("recommend", "also-bought", "u1", "-n", "0"), "-n 0: write a number from 1 to 100"),
        (("segment", "cluster", "churn"), '"churn" is a score, not a cluster'),
    ):
        said = antiphon(*words, "--dir", built)
        assert (said.code, expected in said.error) == (2, True), said


def test_the_age_of_models_is_told_as_of_the_instant_that_is_asked(
    built: Path, antiphon: Antiphon
) -> None:
    antiphon("model", "train", "also-bought", "--dir", built)

    now = antiphon("model", "list", "--dir", built, "--json").json()["models"]
    later = antiphon("model", "list", "--as-of", "2099-01-01T00:00Z", "--dir", built, "--json")
    judged = antiphon(
        "model", "evaluate", "also-bought", "--as-of", "2099-01-01T00:00Z", "--dir", built
    )

    def stale(models: list[dict[str, object]]) -> list[object]:
        return [it["is_stale"] for it in models if it["model"] == "also-bought"]

    assert (stale(now), stale(later.json()["models"])) == ([False], [True])
    assert "also-bought is stale" in judged.out


def test_nothing_applied_is_said(tmp_path: Path, antiphon: Antiphon) -> None:
    (tmp_path / "antiphon.yaml").write_text(SETTINGS)

    said = antiphon("model", "list", "--dir", tmp_path)

    assert (said.code, "antiphon apply" in said.error) == (2, True)


def test_a_person_is_recommended_items_with_reasons_and_what_was_left_out(
    built: Path, antiphon: Antiphon
) -> None:
    antiphon("model", "train", "also-bought", "--dir", built)

    shown = antiphon("recommend", "also-bought", "u1", "-n", "3", "--explain", "--dir", built)
    plain = antiphon("recommend", "also-bought", "u1", "-n", "3", "--json", "--dir", built).json()

    assert shown.code == 0, shown.error
    assert "because you bought" in shown.out
    assert [row["source"] for row in plain["picks"]] == ["collaborative"] * 3
    assert plain["is_personal"] is True


def test_a_person_may_see_what_models_say_of_them_and_why(built: Path, antiphon: Antiphon) -> None:
    antiphon("model", "train", "churn", "--dir", built)

    shown = antiphon("profile", "show", "u1", built)
    plain = antiphon("profile", "show", "u1", built, "--json").json()["models"]

    assert re.search(r"  churn: [01][.\d]*, above \d+ % of people", shown.out), shown
    assert 0 < plain["churn"]["value"] < 1
    assert len(plain["churn"]["why"]) > 0


def test_groups_and_hours_of_a_person_are_shown_without_a_place_among_people() -> None:
    group = {"label": "lost", "value": 1.0, "percentile": 0.0}
    hour = {"label": "08", "value": 0.153, "percentile": 59.0}
    score = {"label": "", "value": 0.153, "percentile": 59.0}

    assert _answer(group, "cluster") == "lost (confidence 1)"
    assert _answer(hour, "send_time") == "08:00, the hour of 15 % of what they do"
    assert _answer(score, "score") == "0.153, above 59 % of people"


def test_a_cluster_that_was_never_trained_says_how(built: Path, antiphon: Antiphon) -> None:
    said = antiphon("segment", "cluster", "shoppers", "--dir", built)

    assert (said.code, "antiphon model train shoppers" in said.out) == (1, True)


def test_a_running_server_trains_and_erases_for_the_commands(
    built: Path, antiphon: Antiphon
) -> None:
    served = Served(built)
    try:
        trained = antiphon("model", "train", "hour", "--dir", built, "--json")
        back = antiphon("model", "rollback", "chrun", "--dir", built)
        gone = antiphon("profile", "erase", "u2", built, "--yes", "--json")
    finally:
        served.terminate()

    assert (trained.json()["model"], trained.json()["status"]) == ("hour", "champion")
    assert 'no model "chrun"' in back.error
    assert gone.json()["n_ids"] == 1
    assert "hour" in gone.json()["models"]
