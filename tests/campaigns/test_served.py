"""Experiments that clients are served: as written, as assigned; which edits open a phase."""

import pytest

from campaigns.compile import Phase, compile_workspace, phase_digests
from campaigns.load import load_bundle
from campaigns.plan import difference, phase_reasons
from campaigns.workspace import Workspace
from engine.core.model.campaigns import Bandit, Experiment, Variant
from engine.core.model.conditions import Comparison, Filter
from tests.campaigns.build import files, problems_of

BUTTON = """\
experiment: checkout-button
unit: anonymous
hash: s256
variants:
  control: {value: blue}
  green: {weight: 2, value: green}
coverage: 50%
layer: {name: cart, from: 0%, to: 50%}
programme: retention
forced: {qa-anna: green}
audience: {segment: vip}
where: {country: [DE, AT], ltv: {gte: 10}}
metrics: {primary: ordered-7d, guardrails: [{metric: orders-7d, margin: 10%}]}
analysis:
  method: group_sequential
  looks: [25%, 50%, 100%]
  planned_sample: 4000
  spending: {hsd: -4}
  adjust: lin
  smallest_lift: 5%
  runs: 2w
  dimensions: traits.plan
"""
ORDERS = "metric: orders-7d\nevent: Order Completed\nmeasure: count\nwithin: 7d\n"


def a_workspace(text: str = BUTTON, **more: str) -> Workspace:
    extra = {"experiments/button.yaml": text, "metrics/orders.yaml": ORDERS, **more}
    return load_bundle(files(extra), environ={})


def compiled(workspace: Workspace, name: str = "checkout-button") -> Experiment:
    program = compile_workspace(
        workspace,
        release=1,
        phases={"checkout-button": Phase(3, "seed-3")},
        templates={},
        blind=lambda *_: "blind",
        is_checked=True,
    )
    return program.experiments[name, program.phases[name]]


def reasons(new: str, old: str = BUTTON) -> tuple[str, ...]:
    return phase_reasons(a_workspace(old), a_workspace(new), "checkout-button")


def problems(text: str, **more: str) -> list[str]:
    return problems_of({"experiments/button.yaml": text, "metrics/orders.yaml": ORDERS, **more})


def test_what_is_written_is_what_is_assigned() -> None:
    it = compiled(a_workspace())

    assert (it.campaign, it.phase, it.seed, it.hash_version) == ("", 3, "seed-3", "s256")
    assert it.variants == (Variant("control", 1, "blue"), Variant("green", 2, "green"))
    assert (it.unit, it.coverage, it.layer) == ("anonymous", 0.5, ("layer:cart", 0.0, 0.5))
    assert (it.programme, it.forced, it.audience) == ("retention", {"qa-anna": "green"}, "vip")
    assert it.where == (
        Filter(("country",), (Comparison("in", ("DE", "AT")),)),
        Filter(("ltv",), (Comparison("gte", 10),)),
    )
    assert it.metrics["guardrails"] == ("orders-7d",)


def test_how_it_is_read_is_plain_data_with_what_is_said_and_nothing_else() -> None:
    assert compiled(a_workspace()).analysis == {
        "method": "group_sequential",
        "alpha": 0.05,
        "correction": "holm",
        "adjust": "lin",
        "planned_sample": 4000,
        "smallest_lift": 0.05,
        "looks": [0.25, 0.5, 1.0],
        "spending": "hsd",
        "spending_parameter": -4.0,
        "runs": 14 * 86_400_000_000,
        "dimensions": ["traits.plan"],
        "margins": {"orders-7d": {"size": 0.1, "is_relative": True}},
    }


def test_values_keep_their_kind() -> None:
    def values(control: str, green: str) -> list[object]:
        text = BUTTON.replace("value: blue", f"value: {control}")
        it = compiled(a_workspace(text.replace("value: green", f"value: {green}")))
        return [each.value for each in it.variants]

    assert values("false", "true") == [False, True]
    assert values("1", "2.5") == [1, 2.5]
    assert values('"1"', '"2"') == ["1", "2"]
    assert values("{size: 1}", "{size: 2, tags: [a]}") == [{"size": 1}, {"size": 2, "tags": ["a"]}]


def test_a_bandit_is_compiled_with_its_slice() -> None:
    text = BUTTON + "allocation: {bandit: {algorithm: top_two, floor: 2%, every: 12h}}\n"

    assert compiled(a_workspace(text)).bandit == Bandit("top_two", 0.02, 12 * 3_600_000_000, 0.1)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("unit: anonymous", "unit: user", "another unit is drawn: who was exposed"),
        ("hash: s256\n", "", "the hash changed, and with it who gets which"),
        ("qa-anna", "qa-berta", "other units are forced into a variant"),
        ("segment: vip", "segment: rich", "the audience, or what its segment asks, changed"),
        ("[DE, AT]", "[DE]", "what clients must say of themselves changed"),
        ("value: green", "value: lime", 'the value of "green" changed'),
        ("weight: 2", "weight: 3", 'the weight of "green" changes from 2 to 3'),
        ("programme: retention\n", "", "it belongs to another programme"),
        ("coverage: 50%", "coverage: 40%", "coverage shrinks from 50% to 40%"),
        ("to: 50%", "to: 40%", "its place in a layer changed"),
        ("coverage", "sticky: false\ncoverage", "whether clients are told what they saw before"),
        ("coverage", "allocation: {bandit: {}}\ncoverage", "how it learns its weights changed"),
    ],
)
def test_an_edit_of_the_design_opens_a_phase_and_says_why(old: str, new: str, says: str) -> None:
    rich = {"segments/rich.yaml": "segment: rich\nwhen: {trait: {ltv: {gte: 5000}}}\n"}
    before, after = a_workspace(**rich), a_workspace(BUTTON.replace(old, new), **rich)

    found = phase_reasons(before, after, "checkout-button")

    assert found[0].startswith(says)
    assert found[-1] == "a new phase opens: only profiles never exposed will see it"
    if "coverage" not in says:  # the publisher compares coverage with that of the phase itself
        assert phase_digests(before) != phase_digests(after)


def test_what_its_segment_asks_is_part_of_the_design_through_every_segment_it_names() -> None:
    through = {"segments/vip.yaml": "segment: vip\nwhen: {all: [segment: rich]}\n"}
    old = {**through, "segments/rich.yaml": "segment: rich\nwhen: {trait: {ltv: {gte: 5000}}}\n"}
    new = {**through, "segments/rich.yaml": "segment: rich\nwhen: {trait: {ltv: {gte: 6000}}}\n"}

    assert phase_digests(a_workspace(**old)) != phase_digests(a_workspace(**new))
    assert phase_reasons(a_workspace(**old), a_workspace(**new), "checkout-button")[0].startswith(
        "the audience, or what its segment asks"
    )


def test_what_moves_nobody_keeps_the_phase_and_is_shown() -> None:
    def said(old: str, new: str) -> tuple[str, ...]:
        before, after = a_workspace(), a_workspace(BUTTON.replace(old, new))
        assert phase_digests(before) == phase_digests(after)
        (change,) = [it for it in difference(before, after) if it.construct == "experiment"]
        assert not change.opens_phase
        return change.details

    assert said("coverage: 50%", "coverage: 100%")[0] == "coverage grows from 50% to 100%"
    analysis = said("smallest_lift: 5%", "smallest_lift: 10%")
    assert analysis[:2] == (
        "analysis changed while it runs: the report will say so",
        "analysis.smallest_lift: 0.05 -> 0.1",
    )
    assert said("margin: 10%", "margin: 5%")[1] == "analysis.margins.orders-7d.size: 0.1 -> 0.05"
    assert said("coverage", "state: stopped\nwinner: green\ncoverage")[:2] == (
        "state: live -> stopped",
        'everybody gets "green", the winner; nobody is exposed any more',
    )


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        (" {weight: 2, value: green}", " {weight: 2}", 6, 'the variant "green" has no value'),
        ("value: green", "value: 7", 1, "control is text, green is a number"),
        ("  green: {weight: 2, value: green}\n", "", 1, "has one variant"),
        ("control:", "blue:", 1, 'no variant "control" to compare'),
        ("programme: retention", "programme: retentoin", 9, 'Did you mean "retention"?'),
        ("ltv: {gte: 10}", "ltv: {gte: ten}", 12, "ltv"),
        ("unit: anonymous", "imported: true\nhash: 1", 1, None),
        ("hash: s256", "seed: old", 1, "is for experiments that began elsewhere"),
        ("hash: s256", "namespace: {name: n, to: 50%}", 1, "is for experiments that began"),
        ("value: blue", "do: [], value: blue", 5, None),
    ],
)
def test_a_slip_in_a_served_experiment_is_named_at_its_line(
    old: str, new: str, place: int, says: str | None
) -> None:
    text = BUTTON.replace(old, new) if new != "imported: true\nhash: 1" else BUTTON.replace(
        "hash: s256", new
    )  # fmt: skip

    found = problems(text)

    if says is None:
        assert found == []
    else:
        assert len([it for it in found if says in it]) == 1, found
        assert any(it.startswith(f"experiments/button.yaml:{place}: ") for it in found), found


def test_experiments_may_not_require_each_other_in_a_circle() -> None:
    other = BUTTON.replace("checkout-button", "other").replace("from: 0%, to: 50%", "from: 50%")
    wants = "requires: {{experiment: {}, variant: green}}\n"

    found = problems(
        BUTTON + wants.format("other"),
        **{"experiments/other.yaml": other + wants.format("checkout-button")},
    )

    assert any(
        "checkout-button -> other -> checkout-button. Break the circle." in it for it in found
    )


def test_a_layer_keeps_experiments_of_one_unit_apart_and_no_others() -> None:
    other = BUTTON.replace("checkout-button", "other").replace("from: 0%, to: 50%", "from: 50%")

    assert problems(BUTTON, **{"experiments/other.yaml": other}) == []
    found = problems(
        BUTTON, **{"experiments/other.yaml": other.replace("unit: anonymous", "unit: user")}
    )
    assert "so keeps nobody apart" in found[0]


def test_a_value_and_a_step_contradict_each_other() -> None:
    journey = """\
campaign: nudge
trigger: {event: Product Added}
topic: offers
journey:
  - experiment: checkout-button
    id: fork
    variants: {control: {do: []}, green: {do: []}}
"""
    text = "experiment: checkout-button\nvariants: {control: {value: a}, green: {weight: 1}}\n"

    found = problems(text + "metrics: {primary: ordered-7d}\n", **{"campaigns/n.yaml": journey})

    assert any("a value is for clients that ask, but campaigns/n.yaml:5" in it for it in found)


def test_a_plan_that_nobody_is_in_is_worth_a_notice() -> None:
    text = "experiment: lost\nvariants: {control: {weight: 1}, b: {weight: 1}}\n"

    (notice,) = a_workspace(text).notices

    assert "nobody is in it" in notice.message
    assert phase_digests(a_workspace(text)) == {}, "nothing was ever drawn by it: no phase"


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("measure: happened\nover: period", "no unit's outcome is ever final"),
        ("measure: mean_per_event\nvalue: properties.revenue\nwithin: 7d", "no single unit has"),
    ],
)
def test_a_bandit_is_refused_a_metric_that_it_could_never_learn_from(metric: str, why: str) -> None:
    bandit = BUTTON + "allocation: {bandit: {}}\n"
    spend = {"metrics/spend.yaml": f"metric: spend\nevent: Order Completed\n{metric}\n"}

    found = problems(bandit.replace("primary: ordered-7d", "primary: spend"), **spend)

    assert len(found) == 1, found
    assert 'a bandit cannot be read by "spend"' in found[0]
    assert why in found[0]
