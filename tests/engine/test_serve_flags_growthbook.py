"""What GrowthBook's SDKs are sent: the payload of each kind of key, and remote evaluation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from growthbook import GrowthBook
from growthbook.core import evalCondition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.conditions.filters import compile_trait_filter
from engine.core.model.conditions import Comparison, Filter
from engine.flagging.conditions import sdk_condition
from experiments.assignment import assign
from experiments.flags import compile_condition
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments


@pytest.fixture
def flags(database_url: str, tmp_path: Path) -> Iterator[Flags]:
    with flags_of(database_url, tmp_path) as opened:
        yield opened


def payload(flags: Flags, *, key: str | None = None) -> Any:
    answer = flags.app.client.get(f"/api/features/{key or flags.app.browser_key}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def evaluated(flags: Flags, attributes: Any, *, key: str | None = None, **more: Any) -> Any:
    answer = flags.app.client.post(
        f"/api/eval/{key or flags.app.server_key}", json={"attributes": attributes, **more}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["features"]


EVERYTHING = (
    an_experiment(more="coverage: 40%\nwhere: {country: [US, CA], age: {gte: 18}}\n"),
    an_experiment("price", unit="user", more="forced: {qa: green}\n"),
    an_experiment("banner", unit="traits.house", more="layer: {name: top, from: 0%, to: 50%}\n"),
    an_experiment("old", more="state: stopped\nwinner: green\n"),
    an_experiment("after", unit="user", more="requires: [{experiment: price, variant: green}]\n"),
)
LAYERED = with_experiments()["antiphon.yaml"] + "layers: {top: {}}\n"


def test_an_sdk_with_the_payload_gives_everyone_what_the_server_gives(flags: Flags) -> None:
    flags.house.apply(with_experiments(*EVERYTHING, settings=LAYERED))
    told = payload(flags)["features"]
    people = [
        {"anonymousId": f"v{n}", "userId": f"u{n}", "house": f"h{n}", "country": country, "age": n}
        for n, country in enumerate(["US", "FR", "CA", None] * 30)
    ] + [{"userId": "qa"}, {"house": 7}, {}]

    for attributes in people:
        sdk = GrowthBook(attributes=attributes, features=told)
        theirs = {name: sdk.get_feature_value(name, None) for name in told if name[0] != "$"}
        context = {"context": attributes}
        ours = flags.post("/ofrep/v1/evaluate/flags", context).json()["flags"]
        known = {it["key"]: it["value"] for it in ours if "value" in it}

        assert {name: theirs[name] for name in known} == known, attributes
    assert {"button", "price", "banner", "old", "after"} <= told.keys()


def test_what_clients_cannot_decide_is_left_out_and_servers_are_told_why(flags: Flags) -> None:
    bandit = "allocation: {bandit: {algorithm: thompson}}\n"
    flags.house.apply(
        with_experiments(
            an_experiment("known", unit="profile"),
            an_experiment("tiny", more="hash: s256\n"),
            an_experiment("learning", more=bandit),
            an_experiment("buyers-only", unit="user", more="audience: {segment: buyers}\n"),
            an_experiment("pattern", more='where: {plan: {matches: "^pro"}}\n'),
            an_experiment("by-mail", unit="user", more='forced: {"qa@example.com": green}\n'),
            an_experiment("behind", more="requires: [{experiment: tiny, variant: green}]\n"),
            an_experiment("button"),
            segments__buyers="segment: buyers\nwhen: {event: Order Completed}\n",
        )
    )

    public, private = payload(flags), payload(flags, key=flags.app.server_key)

    assert public["features"].keys() == {"button"}
    assert "leftOut" not in public
    assert b"qa@example.com" not in str(public).encode()
    assert private["features"].keys() == {"button", "by-mail"}
    assert private["leftOut"].keys() == {
        "known", "tiny", "learning", "buyers-only", "pattern", "behind",
    }  # fmt: skip
    assert "SHA-256" in private["leftOut"]["tiny"]
    assert "profile" in private["leftOut"]["known"]


def test_a_small_list_is_a_saved_group_of_the_operators_servers_alone(flags: Flags) -> None:
    files = with_experiments(
        an_experiment(unit="user", more="audience: {segment: testers}\n"),
        segments__testers="segment: testers\nwhen: {list: testers}\n",
    )
    flags.house.apply({**files, "lists/testers.csv": "user_id\nann\nbob\n"})
    for user in ("ann", "bob", "cat"):
        flags.house.identify(user, phone=None)
    flags.house.settle()

    private = payload(flags, key=flags.app.server_key)
    public = payload(flags)

    assert private["savedGroups"] == {"testers": ["ann", "bob"]}
    assert public["features"] == {}
    assert "ann" not in str(public)
    for user in ("ann", "bob", "cat"):
        sdk = GrowthBook(
            attributes={"userId": user},
            features=private["features"],
            savedGroups=private["savedGroups"],
        )
        assert sdk.get_feature_value("button", None) == flags.flag("button", userId=user)["value"]


def test_a_holdout_of_profiles_leaves_every_decision_to_the_server(flags: Flags) -> None:
    settings = with_experiments()["antiphon.yaml"]
    flags.house.apply(
        with_experiments(
            an_experiment(),
            an_experiment("old", more="state: stopped\n"),
            settings=settings + "global_holdout: {share: 2%, period: 2026-H1}\n",
        )
    )

    found = payload(flags, key=flags.app.server_key)

    assert found["features"].keys() == {"old"}
    assert "global holdout" in found["leftOut"]["button"]


def test_the_payload_has_a_mark_that_only_experiments_change(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    path = f"/api/features/{flags.app.browser_key}"
    first = flags.app.client.get(path)
    flags.house.apply(
        with_experiments(
            an_experiment(), segments__buyers="segment: buyers\nwhen: {event: Order Completed}\n"
        )
    )
    unchanged = flags.app.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    flags.house.apply(with_experiments(an_experiment(more="coverage: 50%\n")))
    changed = flags.app.client.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["x-sse-support"] == "enabled"
    assert (unchanged.status_code, changed.status_code) == (304, 200)


def test_remote_evaluation_gives_values_and_what_to_report_and_nothing_else(flags: Flags) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(more="where: {country: [US]}\n"),
            an_experiment("tiny", more="hash: s256\n"),
        )
    )
    attributes = {"anonymousId": "v1", "country": "US"}

    found = evaluated(flags, attributes, key=flags.app.browser_key)
    seen: list[Any] = []
    sdk = GrowthBook(
        attributes=attributes,
        features=found,
        on_experiment_viewed=lambda experiment, result, user_context: seen.append(
            (experiment.key, result.key)
        ),
    )
    values = {name: sdk.get_feature_value(name, None) for name in found}

    drawn = {
        name: assign(
            "v1", seed=name, variants=("control", "green"), weights=(1, 1), version=version
        ).variant
        for name, version in (("button", 2), ("tiny", "s256"))
    }
    assert values == {
        name: {"control": "blue", "green": "green"}[str(it)] for name, it in drawn.items()
    }
    assert seen == sorted(drawn.items())
    assert "US" not in str(found), "conditions stay here"
    rule = found["button"]["rules"][0]
    hidden = [it for it in rule["tracks"][0]["experiment"]["variations"] if it == {}]
    assert len(hidden) == 1, "another variant's value stays here"


def test_remote_evaluation_obeys_what_the_request_forces(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment(), an_experiment("price", unit="user")))
    who = {"anonymousId": "v1", "userId": "u1"}

    by_hand = evaluated(flags, who, forcedVariations={"button": 1, "price": 7})
    by_value = evaluated(flags, who, forcedFeatures=[["button", "pink"], ["unheard-of", 3]])
    by_address = evaluated(flags, who, url="https://shop.example/?button=0")

    assert by_hand["button"] == {"defaultValue": "green"}
    assert "rules" in by_hand["price"], "there is no seventh variant"
    assert by_value["button"] == {"defaultValue": "pink"}
    assert by_value["unheard-of"] == {"defaultValue": 3}
    assert by_address["button"] == {"defaultValue": "blue"}


@pytest.mark.parametrize(
    "body",
    [
        {"attributes": []},
        {"attributes": {"anonymousId": {}}},
        {"attributes": {}, "forcedVariations": [1]},
        {"attributes": {}, "forcedFeatures": [["a"]]},
        {"attributes": {}, "forcedFeatures": 3},
        {"attributes": {}, "url": 3},
        {"attributes": {}, "url": "x" * 9_000},
    ],
)
def test_a_malformed_remote_evaluation_is_400_and_names_the_part(flags: Flags, body: Any) -> None:
    flags.house.apply(with_experiments(an_experiment()))

    answer = flags.app.client.post(f"/api/eval/{flags.app.browser_key}", json=body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["field"].split(".")[0] in body


@pytest.mark.parametrize("path", ["/api/features/{}", "/sub/{}", "/api/eval/{}"])
def test_a_path_without_a_usable_key_is_401(flags: Flags, path: str) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    method = "POST" if "eval" in path else "GET"

    answer = flags.app.client.request(method, path.format("wk_unknown"))

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("comparison", "attribute", "holds"),
    [
        (Comparison("is", 1), True, False),
        (Comparison("is", True), 1, False),
        (Comparison("is", 1), 1.0, True),
        (Comparison("is", "1"), 1, False),
        (Comparison("is_not", 1), True, True),
        (Comparison("in", ("a", "b")), ["a"], False),
        (Comparison("not_in", ("a", "b")), ["a"], True),
        (Comparison("in", (1, 2)), True, False),
        (Comparison("gte", 0), "1", False),
        (Comparison("gte", 0), True, False),
        (Comparison("lt", 5), None, False),
        (Comparison("between", (1, 3)), 2, True),
    ],
)
def test_attributes_of_another_type_pass_no_comparison_in_the_real_sdk_either(
    comparison: Comparison, attribute: Any, holds: bool
) -> None:
    where = Filter(("a",), (comparison,))
    written = sdk_condition([where])
    attributes = {} if attribute is None else {"a": attribute}

    assert compile_trait_filter(where)(attributes, 0, "UTC")[0] is holds
    assert written is not None
    assert compile_condition(written, {})(attributes) is holds
    assert evalCondition(attributes, written) is holds


scalars = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, "a", "b", "1", "", True, False]))
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0]))
comparisons = st.one_of(
    st.builds(Comparison, st.sampled_from(["is", "is_not"]), scalars),
    st.builds(
        Comparison,
        st.sampled_from(["in", "not_in"]),
        st.lists(scalars, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Comparison, st.sampled_from(["gt", "gte", "lt", "lte"]), numbers),
    st.builds(Comparison, st.just("between"), st.tuples(numbers, numbers)),
)
values = st.one_of(scalars, st.none(), st.lists(scalars, max_size=2), st.just({"b": 1}))
attributes_of = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.one_of(values, st.dictionaries(st.just("b"), values)),
    max_size=2,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    filters=st.lists(
        st.builds(
            Filter,
            st.sampled_from([("a",), ("a", "b")]),
            st.lists(comparisons, min_size=1, max_size=2).map(tuple),
        ),
        max_size=2,
    ),
    attributes=attributes_of,
)
def test_a_condition_that_is_written_for_sdks_says_what_ours_says(
    filters: list[Filter], attributes: dict[str, Any]
) -> None:
    written = sdk_condition(filters)
    if written is None:
        return

    ours = all(compile_trait_filter(each)(attributes, 0, "UTC")[0] for each in filters)

    assert compile_condition(written, {})(attributes) == ours
