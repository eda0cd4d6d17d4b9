"""What the SDKs' specification means beyond the cases that stand in our copy of its suite.

Our copy holds every second case; these are of our own making, one for each meaning that only the
other half (read in growthbook/growthbook, `packages/sdk-js/test/cases.json`) speaks of.
"""

import pytest

from experiments.flags import compile_condition, evaluate, run
from tests.experiments.test_flags_cases import _payload, _visitor

PETS = {"pets": {"cat": {"name": "Mog"}}}


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        # An attribute may be called like an operator that there is none of.
        ({"$teams": {"$elemMatch": {"$eq": "red"}}}, {"$teams": ["blue", "red"]}, True),
        ({"$not": {"$teams": {"$elemMatch": {"$eq": "red"}}}}, {"$teams": ["red"]}, False),
        # And holds only with both sides, whichever of them fails.
        ({"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": 3}]}]}, {"a": 1, "b": 0, "c": 3}, True),
        ({"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": 3}]}]}, {"a": 1, "b": 2, "c": 0}, True),
        ({"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": 3}]}]}, {"a": 2, "b": 2, "c": 3}, False),
        ({"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": 3}]}]}, {"a": 2, "b": 0, "c": 0}, False),
        ({"$and": []}, {"a": 1}, True),
        ({"pets.cat.name": {"$exists": False}}, PETS, False),
        ({"pets.cat.name": {"$exists": True}}, PETS, True),
        # What is asked for among nothing, or not among nothing, is no list: it never holds.
        ({"n": {"$in": 7}}, {"n": 7}, False),
        ({"n": {"$in": [7, 8]}}, {"n": 8}, True),
        ({"n": {"$nin": [7, 8]}}, {"n": 8}, False),
        ({"tags": {"$in": ["x", "y"]}}, {"tags": ["q", "y"]}, True),
        ({"tags": {"$in": ["x", "y"]}}, {"tags": ["q", "r"]}, False),
        ({"tags": {"$nin": ["x", "y"]}}, {"tags": ["q", "x"]}, False),
        ({"tags": {"$nin": ["x", "y"]}}, {"tags": []}, True),
        ({"n": {"$elemMatch": {"$gt": 3}}}, {"n": [1, 2, 3]}, False),
        ({"shops": {"$elemMatch": {"city": {"$regex": "^Ly"}}}}, {"shops": [{"city": "Lyon"}]},
         True),
        ({"shops": {"$elemMatch": {"city": {"$regex": "^Ly"}}}}, {"shops": "Lyon"}, False),
        ({"tags": {"$elemMatch": {"$in": ["x", "y"]}}}, {"tags": ["q", "y"]}, True),
        ({"tags": {"$not": {"$elemMatch": {"$eq": "x"}}}}, {"tags": ["q"]}, True),
        # Where nothing is known a comparison is with 0, and 0 differs from other numbers.
        ({"n": {"$gt": -3, "$lt": 3, "$gte": -2, "$lte": 2, "$ne": 3}}, {}, True),
        ({"n": {"$gt": "3", "$lt": "20"}}, {"n": 9}, True),  # As numbers, not as texts.
        ({"role": {"$eq": "cook"}}, {"role": "cook"}, True),
        ({"role": {"$ne": "cook"}}, {"role": "waiter"}, True),
        ({"agent": {"$regex": "(Phone|Pad)"}}, {"agent": "a Pad of ours"}, True),
        ({"n": {"$gt": 3, "$lt": 6}}, {"n": 5}, True),
        ({"n": {"$gt": 3, "$lt": 6}}, {"n": 3}, False),
        ({"n": {"$gte": 3, "$lte": 6}}, {"n": 3}, True),
        ({"n": {"$gte": 3, "$lte": 6}}, {"n": 7}, False),
        ({"word": {"$gt": "berry", "$lt": "melon"}}, {"word": "berry"}, False),
        ({"word": {"$gt": "berry", "$lt": "melon"}}, {"word": "kiwi"}, True),
        ({"home.city": "Lyon"}, {"home": None}, False),
        ({"v": {"$type": "string"}}, {"v": "1"}, True),
        ({"v": {"$type": "null"}}, {"v": None}, True),
        ({"v": {"$type": "boolean"}}, {"v": False}, True),
        ({"v": {"$type": "number"}}, {"v": 4}, True),
        ({"v": {"$type": "object"}}, {"v": {"a": 1}}, True),
        ({"v": {"$type": "array"}}, {"v": []}, True),
        ({"name": {"$rgex": "a"}}, {"name": "a"}, False),
        ({"name": {"$regex": "(((["}}, {"other": "a"}, False),
        ({"tags": {"$size": 0}}, {"tags": ["x"]}, False),
        ({"tags": {"$size": 2}}, {"tags": ["x"]}, False),
        ({"tags": {"$size": 2}}, {"tags": "xy"}, False),
        ({"tags": {"$size": {"$gt": 1}}}, {"tags": ["x"]}, False),
        ({"name": {"$not": {"$regex": "^bo"}}}, {"name": "bob"}, False),
        ({"tags": {"$all": ["x", "y"]}}, {"tags": ["x", "q"]}, False),
        ({"$nor": [{"name": "bob"}, {"n": {"$lt": 9}}]}, {"name": "eve", "n": 9}, True),
        ({"$nor": [{"name": "bob"}, {"n": {"$lt": 9}}]}, {"name": "bob", "n": 9}, False),
        ({"tags": ["x", "y"]}, {"tags": ["x", "y"]}, True),
        ({"tags": ["x", "y"]}, {"tags": ["x"]}, False),
        ({"tags": ["x", "y"]}, {"tags": "x y"}, False),
        ({"box": {"x": 1}}, {"box": {"x": 1, "y": 2}}, False),
        ({"box": {"x": 1}}, {"box": "x"}, False),
        ({"who": None}, {}, True),
        ({"who": None}, {"who": 0}, False),  # 0 is somebody's answer, nothing is nobody's.
        ({"v": {"$vgt": "2.9.0", "$vlt": "2.11.0"}}, {"v": "2.10.4"}, True),
        ({"v": {"$vgt": "2.9.0", "$vlt": "2.11.0"}}, {"v": "3.10.4"}, False),
        ({"v": {"$vgt": "2.30.0", "$vlt": "2.50.0"}}, {"v": "2.9.9"}, False),
        ({"v": {"$vgte": "2.3.4", "$vlte": "2.3.9"}}, {"v": "2.3.4"}, True),
        ({"v": {"$vgte": "2.3.4", "$vlte": "2.3.9"}}, {"v": "2.3.10"}, False),
        ({"v": {"$vgt": "2.0.0-rc.2"}}, {"v": "2.0.0-rc.1"}, False),
        ({"v": {"$vgt": "2.0.0-alpha", "$vlt": "2.0.0-beta"}}, {"v": "2.0.0-alpha.7"}, True),
        ({"v": {"$veq": "2.3.4"}}, {"v": "2.3.4"}, True),
        ({"v": {"$vne": "2.3.4"}}, {"v": "2.3.5"}, True),
        # Order of versions as SemVer 2.0.0, section 11, has it.
        ({"v": {"$vlt": "1.0.0-beta.11"}}, {"v": "1.0.0-beta.2"}, True),
        ({"v": {"$vlt": "1.0.0"}}, {"v": "1.0.0-rc.1"}, True),
        ({"v": {"$vgt": "0.9.9"}}, {"v": "v1.0.0"}, True),
    ],
)  # fmt: skip
def test_a_condition_means_what_it_means_to_the_sdks(condition, attributes, expected):
    assert compile_condition(condition, None)(attributes) is expected


def told(features, key="it", **context):
    """(value, source) of a feature."""
    given = {"attributes": {"id": "u7"}, "features": features, **context}
    found = evaluate(_payload(given), key, _visitor(given)).as_json()
    return found["value"], found["source"]


def by_country(*rules):
    return {"it": {"defaultValue": "none", "rules": [
        {"condition": {"country": country}, "force": value} for country, value in rules
    ]}}  # fmt: skip


def test_the_first_rule_that_fits_decides_wherever_it_stands():
    features = by_country(("FR", "first"), ("DE", "second"), ("IT", "third"))

    for country, value in (("FR", "first"), ("DE", "second"), ("IT", "third")):
        assert told(features, attributes={"country": country}) == (value, "force")
    assert told(features, attributes={"country": "ES"}) == ("none", "defaultValue")


@pytest.mark.parametrize(
    "rule",
    [
        {"variations": ["a", "b"], "coverage": 0.0},
        {"variations": ["a", "b"], "namespace": ["prices", 0, 0]},
        {"variations": ["a", "b"], "hashAttribute": "company"},
        {"variations": ["a", "b"], "filters": [{"seed": "s", "ranges": [[0, 0]]}]},
        {"force": "a", "range": [0, 0]},
        {"force": "a", "filters": [{"seed": "s", "ranges": [[0, 0]]}]},
        {"force": "a", "condition": {"id": "somebody else"}},
    ],
)
def test_a_rule_that_does_not_take_a_visitor_leaves_them_to_the_next_one(rule):
    features = {"it": {"defaultValue": "none", "rules": [rule, {"force": "next"}]}}

    assert told(features) == ("next", "force")


def test_a_range_of_a_forced_rule_goes_before_its_coverage():
    whole = {"force": "a", "coverage": 0.0, "range": [0, 1]}

    assert told({"it": {"defaultValue": "none", "rules": [whole]}}) == ("a", "force")


def test_a_number_as_a_unit_is_its_text():
    features = {"it": {"defaultValue": None, "rules": [{"variations": list(range(50))}]}}

    by_number, by_text = (told(features, attributes={"id": it}) for it in (4711, "4711"))

    assert by_number == by_text
    assert by_number[1] == "experiment"


def test_a_variation_forced_on_a_visitor_counts_as_the_experiment_but_not_as_drawn():
    given = {
        "attributes": {"id": "u7"}, "forcedVariations": {"it": 2},
        "features": {"it": {"defaultValue": None, "rules": [{"variations": [5, 6, 7]}]}},
    }  # fmt: skip

    found = evaluate(_payload(given), "it", _visitor(given)).as_json()

    assert (found["value"], found["source"]) == (7, "experiment")
    assert found["experimentResult"]["inExperiment"] is True
    assert found["experimentResult"]["hashUsed"] is False
    assert "bucket" not in found["experimentResult"]


@pytest.mark.parametrize(("held_out", "value"), [(0.0, "tested"), (1.0, "held")])
def test_a_variation_that_passes_through_leaves_the_visitor_to_the_rules_after_it(held_out, value):
    features = {"it": {"defaultValue": None, "rules": [
        {"key": "holdout", "variations": ["held", "through"], "hashVersion": 2,
         "ranges": [[0, held_out], [held_out, 1]], "meta": [{}, {"passthrough": True}]},
        {"key": "test", "variations": ["tested", "tested"], "hashVersion": 2},
    ]}}  # fmt: skip

    assert told(features) == (value, "experiment")


def gated(parent_rules, *, condition=None, gate=True):
    return {
        "parent": {"defaultValue": "off", "rules": parent_rules},
        "it": {"defaultValue": "none", "rules": [
            {"parentConditions": [{"id": "parent", "condition": condition or {"value": "on"},
                                   "gate": gate}],
             **({} if gate else {"force": "ours"})},
            {"force": "open"},
        ]},
    }  # fmt: skip


def test_a_gate_blocks_the_whole_flag_and_a_condition_only_its_rule():
    on = [{"force": "on", "condition": {"country": "FR"}}]
    french, german = ({"id": "u7", "country": it} for it in ("FR", "DE"))

    assert told(gated(on), attributes=french) == ("open", "force")
    assert told(gated(on), attributes=german) == (None, "prerequisite")
    assert told(gated(on, gate=False), attributes=french) == ("ours", "force")
    assert told(gated(on, gate=False), attributes=german) == ("open", "force")


def test_gates_reach_through_their_parents_and_experiments_may_be_one():
    features = gated([{"variations": ["on", "on"]}])
    behind = {**features, "child": {"defaultValue": "none", "rules": [
        {"parentConditions": [{"id": "it", "condition": {"value": "open"}, "gate": True}]},
        {"force": "deep"},
    ]}}  # fmt: skip
    shut = {**behind, "parent": {"defaultValue": "off"}}

    assert told(behind, key="child") == ("deep", "force")
    assert told(shut, key="child") == (None, "prerequisite")


@pytest.mark.parametrize(
    ("context", "changes", "is_in"),
    [
        ({}, {}, False),
        ({"attributes": {"id": None}}, {}, False),
        ({"attributes": {"id": "u7"}}, {}, True),
        ({"attributes": {"id": "u7"}}, {"force": -8}, False),
        ({"attributes": {"id": "u7"}}, {"force": 2}, False),
        ({"attributes": {"id": "u7", "country": "FR"}}, {"condition": {"country": "FR"}}, True),
        ({"attributes": {"company": "c9"}}, {"hashAttribute": "company"}, True),
        ({"attributes": {"company": "c9"}}, {}, False),
    ],
)
def test_who_is_in_an_experiment(context, changes, is_in):
    experiment = {"key": "it", "variations": ["a", "b"], **changes}

    found = run(_payload(context), experiment, _visitor(context)).result

    assert found.in_experiment is is_in
    assert found.value in (("a", "b") if is_in else ("a",))


def test_another_key_or_seed_draws_anew_and_the_attribute_names_the_unit():
    def drawn(**changes):
        found = []
        for i in range(200):
            context = {"attributes": {"id": f"u{i}", "company": f"u{i}"}}
            experiment = {"key": "it", "variations": ["a", "b"], **changes}
            found.append(run(_payload(context), experiment, _visitor(context)).result.value)
        return found

    assert drawn() == drawn(hashAttribute="company")
    assert drawn() == drawn(key="another", seed="it")
    assert drawn() != drawn(key="another")
    assert drawn() != drawn(seed="another")
