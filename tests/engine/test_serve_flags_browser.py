"""OpenFeature's web provider in a real browser, from another origin than ours."""

from pathlib import Path

from experiments.assignment import assign
from tests.engine.flag_shop import KINDS, a_flag_shop
from tests.engine.flag_stage import an_experiment
from tests.engine.openfeature_page import a_page


def planned(unit: str, name: str) -> str:
    found = assign(unit, seed=name, variants=("control", "green"), weights=(1, 1)).variant
    assert found is not None
    return found


def test_a_page_evaluates_flags_and_follows_an_apply(tmp_path: Path) -> None:
    with (
        a_flag_shop(tmp_path, *KINDS) as shop,
        a_page(shop.url, shop.browser_key, tmp_path) as page,
    ):
        first, again = page.told("first"), page.told("again")
        another = page.told("another")
        page.told("listening")
        shop.apply(an_experiment(more="state: stopped\nwinner: green\n"), *KINDS[1:])
        changed = page.told("changed")

    found = first["found"]
    for name, word, values in (
        ("button", "button", {"control": "blue", "green": "green"}),
        ("is-new", "isNew", {"control": False, "green": True}),
        ("price", "price", {"control": 1, "green": 1.5}),
        ("layout", "layout", {"control": {"columns": 2}, "green": {"columns": 3, "big": True}}),
    ):
        variant = planned("v1", name)
        assert (found[word]["value"], found[word]["variant"]) == (values[variant], variant)
        assert found[word]["reason"] == "SPLIT"
        assert found[word]["flagMetadata"]["experiment"] == name
    assert (found["unknown"]["value"], found["unknown"]["errorCode"]) == ("mine", "FLAG_NOT_FOUND")
    assert (found["mistyped"]["value"], found["mistyped"]["errorCode"]) == (True, "TYPE_MISMATCH")
    assert first["asked"] == [[200, ""]]
    assert again["asked"] == [[304, ""]], "the mark of the first answer still holds"
    assert another["asked"] == [[200, ""]]
    assert (another["found"]["button"]["value"], another["found"]["button"]["reason"]) == (
        "blue", "DEFAULT",
    )  # fmt: skip
    assert another["found"]["isNew"]["variant"] == planned("v2", "is-new")
    assert changed["found"]["button"]["value"] == "green"
    assert changed["found"]["button"]["reason"] == "STATIC"
    ((status, query),) = changed["asked"]
    assert status == 200
    assert query.startswith("?flagConfigEtag="), "asked because our stream said so"
