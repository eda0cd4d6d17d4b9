"""A served bandit with contexts: OFREP, GrowthBook's payload and its own client give the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from growthbook import GrowthBook

from engine.bandits.weights import append
from engine.core.model.campaigns import OTHERWISE, Allocation
from experiments.assignment import assign, is_held_out
from experiments.flags import Visitor, evaluate, parse_payload
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments

BANDIT = """allocation:
  bandit:
    explore: 20%
    contexts:
      phone: {where: {device: mobile}}
      far: {where: {country: {in: [NZ, AU]}}}
"""
VALUES = "{control: {value: blue}, green: {value: green}, red: {value: red}}"
NAMES = ("control", "green", "red")
LEARNT = Allocation(
    1, 0, {"control": 3_333, "green": 3_334, "red": 3_333},
    {
        "phone": {"control": 1_001, "green": 1_999, "red": 7_000},
        "far": {"control": 500, "green": 9_000, "red": 500},
    },
)  # fmt: skip
PEOPLE: tuple[dict[str, Any], ...] = tuple(
    {"anonymousId": f"v{n}", "device": device, "country": country}
    for n, (device, country) in enumerate(
        [("mobile", "NZ"), ("desktop", "AU"), ("desktop", "FR"), ("mobile", "FR")] * 2_500
    )
)


@pytest.fixture
def flags(database_url: str, tmp_path: Path) -> Iterator[Flags]:
    with flags_of(database_url, tmp_path) as opened:
        metric = "metric: ordered\nevent: Order Completed\nmeasure: happened\nwithin: 7d\n"
        files = with_experiments(an_experiment(values=VALUES, more=BANDIT + "coverage: 90%\n"))
        opened.house.apply({**files, "metrics/ordered.yaml": metric})
        yield opened


def learns(flags: Flags) -> None:
    flags.house.process.write(lambda it: append(it, "button", 1, LEARNT, trained={}))
    flags.house.reload()


def context_of(person: dict[str, Any]) -> str:
    if person["device"] == "mobile":
        return "phone"
    return "far" if person["country"] in ("NZ", "AU") else OTHERWISE


def due(person: dict[str, Any]) -> tuple[str, int]:
    """(variant, version) of somebody within the coverage, by the library alone."""
    unit = person["anonymousId"]
    if is_held_out(unit, seed="button/explore", share=0.2, version=2):
        weights, version = (1, 1, 1), 0
    else:
        learnt = LEARNT.contexts.get(context_of(person), LEARNT.weights)
        weights, version = tuple(learnt[name] for name in NAMES), 1
    return str(assign(unit, seed="button", variants=NAMES, weights=weights).variant), version


def payload(flags: Flags) -> Any:
    return flags.app.client.get(f"/api/features/{flags.app.browser_key}").json()


def test_growthbooks_client_gives_ten_thousand_units_our_variant_and_our_context(
    flags: Flags,
) -> None:
    learns(flags)
    told = payload(flags)
    assert told["contextualBandits"]["button"]["banditVersion"] == 1
    parsed = parse_payload(told)
    leaf_of = {"phone": 0, "far": 1, OTHERWISE: -1}
    n_inside = 0

    for person in PEOPLE:
        sdk = GrowthBook(
            attributes=person,
            features=told["features"],
            contextual_bandits=told["contextualBandits"],
        )
        result = sdk.eval_feature("button").experimentResult
        ours = evaluate(parsed, "button", Visitor(attributes=person)).result
        if result is None:
            assert ours is None
            continue
        n_inside += 1
        variant, version = due(person)
        assert result.key == variant
        assert result.leafId == leaf_of[context_of(person)]
        assert result.banditVersion == version
        assert ours is not None
        assert (ours.key, ours.leaf_id, ours.bandit_version) == (
            variant, result.leafId, version,
        )  # fmt: skip
        learnt = LEARNT.contexts.get(context_of(person), LEARNT.weights)
        if version:
            assert result.variationWeights == pytest.approx(
                [learnt[name] / 10_000 for name in NAMES], abs=1e-8
            )

    assert 0.88 < n_inside / len(PEOPLE) < 0.92


def test_the_server_says_the_same_and_takes_the_exposure_as_it_was_drawn(flags: Flags) -> None:
    learns(flags)

    for person in PEOPLE[:120]:
        flag = flags.flag("button", **person)
        if flag["reason"] != "SPLIT":
            continue
        variant, version = due(person)
        assert flag["variant"] == variant
        assert flag["metadata"]["bandit_context"] == context_of(person)
        assert flag["metadata"]["allocation"] == version
        told = {name: flag["metadata"][name] for name in ("bandit_context", "allocation")}
        flags.saw("button", variant, anonymousId=person["anonymousId"], **told)

    rows = flags.house.rows("SELECT unit, variant, probability, allocation, context, flag "
                            "FROM exposure WHERE experiment = 'button'")  # fmt: skip
    assert len(rows) > 90
    by_id = {it["anonymousId"]: it for it in PEOPLE}
    for unit, variant, probability, version, context, flagged in rows:
        assert flagged == ""
        assert context == context_of(by_id[unit])
        weights = LEARNT.contexts.get(context, LEARNT.weights)
        expected = weights[variant] / 10_000 if version else 1 / 3
        assert probability == pytest.approx(expected, abs=2e-4)


def test_an_exposure_keeps_what_decided_although_the_weights_have_moved_since(
    flags: Flags,
) -> None:
    """A client had the planned weights; by the time it tells, a version is in force."""
    learns(flags)
    person = next(
        it for it in PEOPLE
        if context_of(it) == "phone" and due(it)[1] == 1
        and due(it)[0] != assign(it["anonymousId"], seed="button", variants=NAMES,
                                 weights=(1, 1, 1)).variant
    )  # fmt: skip
    unit = person["anonymousId"]
    planned = assign(unit, seed="button", variants=NAMES, weights=(1, 1, 1)).variant

    flags.house.send({"type": "track", "event": "Experiment Viewed", "anonymousId": unit,
                      "properties": {"experiment_id": "button", "variation_id": planned,
                                     "leaf_id": 0, "bandit_version": 0}})  # fmt: skip
    flags.house.settle()

    ((variant, probability, version, context, flag),) = flags.house.rows(
        "SELECT variant, probability, allocation, context, flag FROM exposure"
    )
    assert (variant, version, context, flag) == (planned, 0, "phone", "")
    assert probability == pytest.approx(1 / 3, abs=2e-4)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, "its context was not said"),
        ({"leaf_id": 7, "bandit_version": 1}, "there is no such context"),
        ({"leaf_id": 0, "bandit_version": 99}, "there is no such version"),
        ({"leaf_id": True, "bandit_version": "1"}, "neither is a number"),
    ],
)
def test_an_exposure_whose_chances_nobody_knows_is_kept_out_of_the_analysis(
    flags: Flags, told: dict[str, Any], why: str
) -> None:
    learns(flags)
    person = next(it for it in PEOPLE if context_of(it) == "phone" and due(it)[1] == 1)

    flags.house.send({"type": "track", "event": "Experiment Viewed",
                      "anonymousId": person["anonymousId"],
                      "properties": {"experiment_id": "button", "variation_id": due(person)[0],
                                     **told}})  # fmt: skip
    flags.house.settle()

    ((flag,),) = flags.house.rows("SELECT flag FROM exposure")
    assert flag == "off_plan", why


def test_remote_evaluation_hands_the_leaf_to_the_clients_callback(flags: Flags) -> None:
    learns(flags)
    person = next(it for it in PEOPLE if context_of(it) == "far" and due(it)[1] == 1)

    body = {"attributes": person}
    answer = flags.app.client.post(f"/api/eval/{flags.app.server_key}", json=body).json()

    (rule,) = answer["features"]["button"]["rules"]
    result = rule["tracks"][0]["result"]
    assert (result["leafId"], result["banditVersion"]) == (1, 1)
    assert result["variationWeights"] == pytest.approx([0.05, 0.9, 0.05])


def test_contexts_that_only_the_server_knows_are_left_out_of_the_payload(flags: Flags) -> None:
    more = BANDIT.replace("{where: {device: mobile}}", "{trait: {plan: pro}}")
    metric = "metric: ordered\nevent: Order Completed\nmeasure: happened\nwithin: 7d\n"
    files = with_experiments(an_experiment(values=VALUES, more=more))
    flags.house.apply({**files, "metrics/ordered.yaml": metric})

    public = payload(flags)
    private = flags.app.client.get(f"/api/features/{flags.app.server_key}").json()

    assert "button" not in public["features"]
    assert "contextualBandits" not in public
    assert "phone" in private["leftOut"]["button"]
