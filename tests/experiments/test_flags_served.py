"""Our experiments as a payload: the real SDK assigns whom we assign; guards; ramps."""

import json
from dataclasses import replace

import growthbook.common_types as sdk
import pytest
from growthbook import GrowthBook
from growthbook.core import eval_feature
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.assignment import assign, in_layer, is_held_out
from experiments.errors import AssignmentError, DataError
from experiments.flags import (
    VARIANT_OF,
    Holdout,
    LayerSlice,
    Requirement,
    ServedExperiment,
    ServedVariant,
    Source,
    Visitor,
    evaluate,
    evaluate_all,
    evaluate_remotely,
    experiment_document,
    is_ramp,
    parse_payload,
    payload_document,
    run,
    split_for_sdks,
    sticky_keys,
    why_not_a_ramp,
    why_not_for_sdks,
)

UNITS = [f"user-{index}" for index in range(10_000)] + ["Zoë", "ü🎵", "7", "名前"]


def an_experiment(name="button", weights=(1, 1), **fields):
    variants = tuple(
        ServedVariant(label, f"value of {label}", weight)
        for label, weight in zip(("control", "green", "red", "grey"), weights, strict=False)
    )
    return ServedExperiment(name=name, seed=f"{name}:1", variants=variants, **fields)


def assigned(served, unit):
    return assign(
        unit,
        seed=served.seed,
        variants=[each.name for each in served.variants],
        weights=[each.weight for each in served.variants],
        coverage=served.coverage,
        version=served.version,
        imported=served.imported,
    ).variant


class Sdk:
    """The real SDK over a payload as it would arrive."""

    def __init__(self, document):
        features = json.loads(json.dumps(document))["features"]
        parsed = {key: sdk.Feature(**feature) for key, feature in features.items()}
        self._context = sdk.GlobalContext(options=sdk.Options(), features=parsed)

    def variant(self, name, **attributes):
        user = sdk.UserContext(attributes=attributes)
        context = sdk.EvaluationContext(user, self._context, sdk.StackContext())
        result = eval_feature(name, context).experimentResult
        return result.key if result else None

    def value(self, name, **attributes):
        user = sdk.UserContext(attributes=attributes)
        context = sdk.EvaluationContext(user, self._context, sdk.StackContext())
        return eval_feature(name, context).value


@pytest.mark.parametrize(
    "fields",
    [
        {"weights": (1, 1)},
        {"weights": (1, 1, 1)},
        {"weights": (70, 20, 10), "coverage": 0.35},
        {"weights": (9_999, 1)},
        {"weights": (1, 0, 2), "coverage": 1 / 3},
        {"weights": (2, 1), "imported": True, "version": 1},
    ],
    ids=str,
)
def test_the_sdk_gives_every_one_of_ten_thousand_units_our_variant(fields):
    served = an_experiment(**fields)
    client = Sdk(payload_document([served]))

    moved = [u for u in UNITS if client.variant("button", id=u) != assigned(served, u)]

    assert moved == []


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.integers(1, 50), min_size=2, max_size=4),
    coverage=st.integers(5, 100).map(lambda percent: percent / 100),
    start=st.integers(0, 50).map(lambda percent: percent / 100),
    share=st.sampled_from([0.0, 0.05, 1 / 3]),
)
def test_layers_and_holdouts_of_version_2_are_kept_by_the_sdk(weights, coverage, start, share):
    served = an_experiment(
        weights=weights,
        coverage=coverage,
        layer=LayerSlice("cart", start, start + 0.5),
        holdouts=(Holdout("2026-H1", share, version=2),),
    )
    client = Sdk(payload_document([served]))

    for unit in UNITS[:200]:
        is_reachable = not is_held_out(unit, seed="2026-H1", share=share, version=2) and in_layer(
            unit, layer_seed="cart", start=start, end=start + 0.5
        )
        expected = assigned(served, unit) if is_reachable else None
        assert client.variant("button", id=unit) == expected


def test_an_inline_experiment_gives_the_same_variant():
    served = an_experiment(weights=(3, 1), coverage=0.5)
    client = GrowthBook(attributes={"id": "user-3"})
    theirs = client.run(sdk.Experiment(**experiment_document(served)))

    ours = run(parse_payload({}), experiment_document(served), Visitor({"id": "user-3"})).result

    assert (ours.key if ours.in_experiment else None) == assigned(served, "user-3")
    assert (theirs.inExperiment, theirs.key) == (ours.in_experiment, ours.key)
    client.destroy()


def test_ids_that_are_numbers_are_the_units_their_text_is():
    served = an_experiment(forced={"7": "green"})
    client = Sdk(payload_document([served]))

    for number in range(1, 300):
        as_text = client.variant("button", id=str(number))
        assert client.variant("button", id=number) == as_text
        assert client.variant("button", id=float(number)) == as_text
    assert client.value("button", id=7) == client.value("button", id="7") == "value of green"


@pytest.mark.parametrize("unit", [None, "", 0, True])
def test_who_identifies_nobody_gets_the_control_value_and_no_exposure(unit):
    payload = parse_payload(payload_document([an_experiment()]))

    found = evaluate(payload, "button", Visitor({"id": unit}))

    assert (found.value, found.source, found.exposures) == (
        "value of control",
        Source.DEFAULT,
        (),
    )


def test_a_forced_unit_gets_its_value_and_is_no_exposure():
    served = an_experiment(forced={"user-1": "green", "user-2": "control"}, coverage=0.0001)
    payload = parse_payload(payload_document([served]))

    found = evaluate(payload, "button", Visitor({"id": "user-1"}))

    assert (found.value, found.rule_id, found.exposures) == ("value of green", "forced:green", ())


def test_an_audience_keeps_others_out():
    served = an_experiment(audience={"country": "FR"})
    client = Sdk(payload_document([served]))

    assert client.variant("button", id="user-1", country="DE") is None
    assert client.variant("button", id="user-1", country="FR") == assigned(served, "user-1")


def test_a_prerequisite_asks_for_the_variant_and_not_for_a_value_that_others_share():
    # Both variants have one value, which units outside get as well.
    parent = ServedExperiment(
        name="first",
        seed="first:1",
        variants=(ServedVariant("control", 1), ServedVariant("green", 1)),
        coverage=0.5,
    )
    child = an_experiment(requires=(Requirement("first", "green"),))
    client = Sdk(payload_document([child, parent]))

    for unit in UNITS[:500]:
        expected = assigned(child, unit) if assigned(parent, unit) == "green" else None
        assert client.variant("button", id=unit) == expected


def test_a_stopped_experiment_gives_everyone_the_winner():
    stopped = an_experiment(state="stopped", winner="green")
    draft = an_experiment(name="later", state="draft")
    client = Sdk(payload_document([stopped, draft]))

    assert client.value("button", id="user-1") == "value of green"
    assert client.value("later", id="user-1") == "value of control"


def test_what_sdks_cannot_compute_is_refused_with_its_reason_and_served_remotely():
    s256 = an_experiment(version="s256")
    held = an_experiment(name="held", holdouts=(Holdout("2026-H1", 0.1),))
    child = an_experiment(name="child", requires=(Requirement("button", "green"),))
    segment = an_experiment(name="segment", server_only="its audience is a segment")
    plain = an_experiment(name="plain")

    able, reasons = split_for_sdks([s256, held, child, segment, plain])

    assert able == (plain,)
    assert set(reasons) == {"button", "held", "child", "segment"}
    assert "SHA-256" in why_not_for_sdks(s256)
    with pytest.raises(AssignmentError, match="remote evaluation"):
        payload_document([s256])
    document = payload_document([s256, held, child, segment, plain], for_sdks=False)
    payload = parse_payload(document)
    for unit in UNITS[:300]:
        found = evaluate(payload, "button", Visitor({"id": unit}))
        assert found.result is not None
        assert found.result.key == assigned(s256, unit)
        is_in = evaluate(payload, "held", Visitor({"id": unit})).result is not None
        assert is_in is not is_held_out(unit, seed="2026-H1", share=0.1)


def test_the_probability_told_is_that_of_the_buckets():
    served = an_experiment(weights=(1, 1, 1), coverage=0.5)
    payload = parse_payload(payload_document([served]))

    for unit in UNITS[:200]:
        found = evaluate(payload, "button", Visitor({"id": unit})).result
        if found is not None:
            ours = assign(
                unit,
                seed="button:1",
                variants=("control", "green", "red"),
                weights=(1, 1, 1),
                coverage=0.5,
            )
            assert (found.probability, found.bucket) == (ours.probability, ours.bucket / 10_000)


def test_an_exposed_unit_keeps_its_variant_in_a_new_phase_where_documents_are_stored():
    before = an_experiment(sticky=True)
    after = replace(before, seed="button:2", phase="2")
    unit = next(u for u in UNITS if assigned(before, u) != assigned(after, u))
    visitor = Visitor({"id": unit}, sticky={})
    first = evaluate(parse_payload(payload_document([before])), "button", visitor)

    payload = parse_payload(payload_document([after]))
    again = evaluate(payload, "button", visitor._replace(sticky=first.sticky))

    assert sticky_keys(payload, visitor) == (f"id||{unit}",)
    assert (again.value, again.result.sticky_used) == (first.value, True)
    assert again.result.probability is None
    assert again.sticky == {}  # Nothing changed, nothing to store.


def test_evaluating_changes_nothing_that_was_handed_in():
    payload = parse_payload(payload_document([an_experiment(sticky=True)]))
    documents, attributes = {}, {"id": "user-5"}

    evaluate_all(payload, Visitor(attributes, sticky=documents))

    assert (documents, attributes) == ({}, {"id": "user-5"})


def test_a_remote_answer_serves_the_real_sdk_and_hides_the_rest():
    parent = an_experiment(name="first")
    child = an_experiment(
        audience={"email": "secret@example.org"}, requires=(Requirement("first", "green"),)
    )
    payload = parse_payload(payload_document([parent, child], for_sdks=False))
    unit = next(u for u in UNITS if assigned(parent, u) == "green")
    visitor = Visitor({"id": unit, "email": "secret@example.org"})
    seen = []

    answer = json.loads(json.dumps(evaluate_remotely(payload, visitor)))
    client = GrowthBook(
        attributes={"id": unit},
        features=answer["features"],
        on_experiment_viewed=lambda experiment, result, user_context=None: seen.append(
            (experiment.key, result.key)
        ),
    )

    assert client.get_feature_value("button", None) == f"value of {assigned(child, unit)}"
    assert seen == [("first", "green"), ("button", assigned(child, unit))]
    assert "secret" not in json.dumps(answer)
    assert not any(key.startswith(VARIANT_OF) for key in answer["features"])
    others = {each.value for each in child.variants} - {f"value of {assigned(child, unit)}"}
    assert not any(other in json.dumps(answer["features"]["button"]) for other in others)
    client.destroy()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": (1,)}, "at least two"),
        ({"weights": (0, 0)}, "every weight is 0"),
        ({"weights": (0.5, 0.6)}, "weight 0.5"),
        ({"weights": (10**6, 1)}, "s256"),
        ({"control": "missing"}, "no variant 'missing'"),
        ({"forced": {"u": "missing"}}, "no variant 'missing'"),
        ({"forced": {"": "green"}}, "identifies nobody"),
        ({"name": "a name"}, "is not a name"),
        ({"name": "$variant:x"}, "is not a name"),
        ({"attribute": ""}, "is not a name"),
        ({"coverage": 1.2}, "share between 0 and 1"),
        ({"version": 1}, "not independent"),
        ({"namespace": ("n", 0.0, 0.5)}, "not independent"),
        ({"winner": "green"}, "stop it first"),
        ({"fallback": "anonId"}, "not sticky"),
        ({"layer": LayerSlice("button:1", 0.0, 0.5)}, "shares a seed"),
        ({"layer": LayerSlice("cart", 0.5, 0.2)}, "ends before it starts"),
        ({"holdouts": (Holdout("h", 2.0),)}, "share between 0 and 1"),
        ({"requires": (Requirement("button", "green"),)}, "requires itself"),
    ],
)
def test_an_experiment_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(AssignmentError, match=message):
        an_experiment(**fields)


def test_a_variant_of_null_and_a_seed_of_two_readings_are_refused():
    with pytest.raises(AssignmentError, match="null"):
        ServedExperiment("b", "s", (ServedVariant("a", None), ServedVariant("c", 1)))
    with pytest.raises(AssignmentError, match="separates"):
        ServedExperiment("b", "s|t", (ServedVariant("a", 0), ServedVariant("c", 1)), version="s256")


@pytest.mark.parametrize(
    ("served", "message"),
    [
        ([an_experiment(), an_experiment()], "two experiments are named"),
        ([an_experiment(requires=(Requirement("gone", "green"),))], "not published"),
        (
            [
                an_experiment(requires=(Requirement("b", "green"),)),
                an_experiment("b", requires=(Requirement("button", "green"),)),
            ],
            "circle among b, button",
        ),
    ],
)
def test_experiments_that_contradict_each_other_are_refused(served, message):
    with pytest.raises(AssignmentError, match=message):
        payload_document(served)


def test_only_coverage_may_grow_within_a_phase():
    old = an_experiment(weights=(1, 1), coverage=0.2)

    assert is_ramp(old, replace(old, coverage=0.6))
    assert is_ramp(old, replace(old, state="stopped", winner="green"))
    assert "coverage shrinks" in why_not_a_ramp(old, replace(old, coverage=0.1))[0]
    for change in (
        {"variants": an_experiment(weights=(1, 2)).variants},
        {"audience": {"country": "FR"}},
        {"layer": LayerSlice("cart", 0.0, 0.5)},
        {"attribute": "anonId"},
        {"seed": "other"},
        {"forced": {"u": "green"}},
        {"version": "s256"},
    ):
        assert not is_ramp(old, replace(old, **change))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "a payload is an object"),
        ({"features": []}, None),
        ({"features": [1]}, "features: found"),
        ({"features": {"f": 1}}, "features.f: found 1"),
        ({"features": {"f": {"rules": {"a": 1}}}}, "features.f.rules"),
        ({"features": {"f": {"rules": [1]}}}, r"features.f.rules\[0\]"),
        ({"features": {"f": {"rules": [{"variations": 5}]}}}, "variations"),
        ({"features": {"f": {"rules": [{"force": 1, "coverage": "half"}]}}}, "coverage"),
        ({"features": {"f": {"rules": [{"force": 1, "condition": [1]}]}}}, "condition"),
        ({"features": {"f": {"rules": [{"force": 1, "filters": [{}]}]}}}, r"filters\[0\]"),
        ({"features": {"f": {"rules": [{"variations": [1, 2], "ranges": [[0]]}]}}}, "ranges"),
        ({"experiments": {"a": 1}}, "experiments: found"),
        ({"experiments": [{"key": "e"}]}, r"experiments\[0\]"),
    ],
)
def test_a_malformed_payload_is_refused_with_its_place(document, message):
    if message is None:
        assert parse_payload(document).features == {}
        return
    with pytest.raises(DataError, match=message):
        parse_payload(document)


def test_repairs_of_the_specification_are_told():
    rule = {"variations": [1, 2], "weights": [0.7, 0.6], "coverage": 1.5}

    warnings = parse_payload({"features": {"f": {"rules": [rule]}}}).warnings

    assert any("do not add up" in each or "add up to 1" in each for each in warnings)
    assert any("coverage 1.5" in each for each in warnings)
