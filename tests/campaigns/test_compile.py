"""What is written becomes what is played: graphs, conditions, experiments, versions."""

from collections.abc import Mapping

import msgspec
import pytest

from campaigns.compile import Phase, campaign_versions, compile_workspace, phase_digests
from campaigns.metrics import compile_metrics
from engine.core.model.campaigns import Holdout, Program, ScheduleTrigger, TemplateFacts, Variant
from engine.core.model.conditions import (
    All,
    AnyOf,
    Comparison,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    Not,
    SegmentCondition,
    TraitCondition,
    Window,
)
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.core.model.steps import (
    Branch,
    Delay,
    Duration,
    ExperimentStep,
    Expression,
    Send,
    Update,
    WaitFor,
)
from tests.campaigns.build import CAMPAIGN, METRIC, a_workspace


def compiled(
    changed: Mapping[str, str | None] | None = None, phases: Mapping[str, Phase] | None = None
) -> Program:
    return compile_workspace(
        a_workspace(changed),
        release=3,
        phases=phases or {},
        templates={("email", "remind"): TemplateFacts("h1")},
        blind=lambda trait, kind, value: f"blind:{trait}/{kind}/{value}",
    )


JOURNEY = """\
campaign: nudge
trigger: {event: Product Added}
topic: offers
journey:
  - delay: P1D
    id: settle
  - wait_for: {event: Order Completed, counting_from: entry, timeout: 24h}
    id: bought
    then:
      - exit: true
    on_timeout:
      - branch: [{if: {segment: vip}, do: []}]
        else:
          - send: {channel: email, template: remind, expires: 6h}
  - update: {traits: {plan: "{{ event.plan | default('x') }}-{{ profile.ltv }}", vip: true}}
"""


def test_blocks_return_to_the_step_after_them() -> None:
    campaign = compiled({"campaigns/nudge.yaml": JOURNEY}).campaigns["nudge"]

    assert campaign.first == "settle"
    assert list(campaign.steps) == [
        "settle", "bought", "bought.then.0", "bought.on_timeout.0", "bought.on_timeout.0.else.0",
        "2",
    ]  # fmt: skip
    assert campaign.steps["settle"] == Delay("settle", Duration(days=1), "bought")
    wait = campaign.steps["bought"]
    assert isinstance(wait, WaitFor)
    assert (wait.counting_from, wait.then, wait.on_timeout) == (
        "entry", "bought.then.0", "bought.on_timeout.0",
    )  # fmt: skip
    assert campaign.steps["bought.on_timeout.0"] == Branch(
        "bought.on_timeout.0", ((SegmentCondition("vip"), "2"),), "bought.on_timeout.0.else.0"
    )
    assert campaign.steps["bought.on_timeout.0.else.0"] == Send(
        "bought.on_timeout.0.else.0", "email", "remind", None, 6 * HOUR, "2"
    )
    assert campaign.steps["2"] == Update(
        "2",
        {
            "plan": Expression(
                "{{ event.plan | default('x') }}-{{ profile.ltv }}", ("profile.ltv",)
            ),
            "vip": True,
        },
    )


def test_conditions_compile_to_the_segment_language_of_the_core() -> None:
    segment = """\
    segment: mixed
    when:
      all:
        - event: Product Added
          where: {properties.cart_value: {gte: 20}}
          count: {gte: 2}
          within: 2h
        - {event: Product Added, not_followed_by: {event: Order Completed, for: 30m}}
        - none: [{trait: {plan: [pro, team], vip: true}}]
        - not: {segment: vip}
        - {event: Order Completed, since: 2026-01-01, until: 2026-01-01T12:00Z}
    """

    condition = compiled({"segments/mixed.yaml": segment}).segments["mixed"]

    added = EventMatch("Product Added")
    valuable = Filter(("properties", "cart_value"), (Comparison("gte", 20),))
    midnight_in_berlin = 1767222000 * 10**6  # 2025-12-31T23:00Z
    assert condition == All(
        (
            EventCondition(
                EventMatch("Product Added", (valuable,)),
                (Comparison("gte", 2),),
                Window(within=2 * HOUR),
            ),
            EventCondition(
                added,
                not_followed_by=FollowedBy(EventMatch("Order Completed"), 30 * MINUTE),
            ),
            Not(
                AnyOf(
                    (
                        All(
                            (
                                TraitCondition(
                                    Filter(("plan",), (Comparison("in", ("pro", "team")),))
                                ),
                                TraitCondition(Filter(("vip",), (Comparison("is", True),))),
                            )
                        ),
                    )
                )
            ),
            Not(SegmentCondition("vip")),
            EventCondition(
                EventMatch("Order Completed"),
                window=Window(since=midnight_in_berlin, until=midnight_in_berlin + 13 * HOUR),
            ),
        )
    )


def test_a_pii_trait_is_compared_by_its_marker() -> None:
    segment = "segment: staff\nwhen: {trait: {email: [a@x.de, b@x.de], phone: {exists: true}}}\n"

    condition = compiled({"segments/staff.yaml": segment}).segments["staff"]

    markers = ("blind:email/email/a@x.de", "blind:email/email/b@x.de")
    assert condition == All(
        (
            TraitCondition(Filter(("email",), (Comparison("in", markers),))),
            TraitCondition(Filter(("phone",), (Comparison("exists", True),))),
        )
    )


def test_settings_become_the_programs_rules() -> None:
    program = compiled()

    assert (program.release, program.zone) == (3, "Europe/Berlin")
    assert program.consent_unknown == "refuse"
    assert program.programme_holdouts == {"retention": Holdout(0.05, "holdout:programme:retention")}
    assert program.topics["orders"].is_transactional
    assert program.pii_traits == {"email", "phone", "push_token"}


@pytest.mark.parametrize("audience", ["vip", "{segment: vip}"])
def test_a_schedules_audience_is_the_campaigns(audience: str) -> None:
    schedule = f'{{schedule: {{cron: "0 9 * * mon", zone: UTC, audience: {audience}}}}}'
    written = CAMPAIGN.replace("{event: Product Added}", schedule)

    campaign = compiled({"campaigns/nudge.yaml": written}).campaigns["nudge"]

    assert campaign.trigger == ScheduleTrigger("0 9 * * mon", "UTC")
    assert campaign.audience == SegmentCondition("vip")


INLINE = """\
campaign: nudge
trigger: {event: Product Added}
topic: offers
holdout: {share: 10%, period: 2026-H1}
journey:
  - experiment: cart
    id: test
    variants:
      control: {weight: 1, do: []}
      remind: {weight: 2, do: [send: {channel: email, template: remind}]}
    metrics: {primary: ordered-7d}
    coverage: 50%
    layer: {name: cart, to: 50%}
"""

IN_FILES = {
    "campaigns/nudge.yaml": """\
campaign: nudge
trigger: {event: Product Added}
topic: offers
holdout: {share: 10%, period: 2026-H1}
journey:
  - experiment: cart
    id: test
    variants:
      control: {do: []}
      remind: {do: [send: {channel: email, template: remind}]}
""",
    "experiments/cart.yaml": """\
experiment: cart
variants: {control: {weight: 1}, remind: {weight: 2}}
metrics: {primary: ordered-7d}
coverage: 50%
layer: {name: cart, to: 50%}
""",
}


def test_an_experiment_is_the_same_at_its_step_and_in_a_file() -> None:
    phases = {"cart": Phase(2, "seed-2")}

    inline = compiled({"campaigns/nudge.yaml": INLINE}, phases)
    in_files = compiled(dict(IN_FILES), phases)

    assert inline.experiments == in_files.experiments
    assert inline.phases == {"cart": 2}
    experiment = inline.experiments["cart", 2]
    assert experiment.variants == (Variant("control", 1), Variant("remind", 2))
    assert (experiment.seed, experiment.coverage, experiment.phase) == ("seed-2", 0.5, 2)
    assert experiment.layer == ("layer:cart", 0.0, 0.5)
    assert experiment.metrics["primary"] == ("ordered-7d",)
    campaign = inline.campaigns["nudge"]
    assert campaign.version == in_files.campaigns["nudge"].version
    assert campaign.holdout == Holdout(0.1, "holdout:campaign:nudge", "2026-H1")
    assert campaign.steps["test"] == ExperimentStep(
        "test", "cart", {"control": None, "remind": "test.remind.0"}
    )


def test_a_version_changes_with_what_people_go_through_and_with_nothing_else() -> None:
    before = campaign_versions(a_workspace())["nudge"]

    def version(old: str, new: str, file: str = "campaigns/nudge.yaml") -> str:
        return campaign_versions(a_workspace({file: CAMPAIGN.replace(old, new)}))["nudge"]

    assert version("delay: 30m", "delay: 1h") != before
    assert version("id: settle", "id: rest") != before
    assert version("topic: offers", "topic: offers\nholdout: 1%") != before
    assert version("delay: 30m", "delay: 1800s") == before  # the same half hour
    assert version("topic: offers", "topic: offers\ntitle: New words") == before
    assert version("topic: offers", "topic: offers\nstate: paused") == before
    other_template = a_workspace(
        {"templates/email/remind.html": "---\nsubject: Hi\n---\n<p>Hi</p>"}
    )
    assert campaign_versions(other_template)["nudge"] == before


def test_the_digest_of_a_phase_is_that_of_its_design() -> None:
    before = phase_digests(a_workspace({"campaigns/nudge.yaml": INLINE}))["cart"]

    def digest(old: str, new: str) -> str:
        assert old in INLINE
        return phase_digests(a_workspace({"campaigns/nudge.yaml": INLINE.replace(old, new)}))[
            "cart"
        ]

    assert digest("weight: 2", "weight: 3") != before
    assert digest("template: remind", "template: code") != before
    assert digest("to: 50%", "to: 60%") != before
    assert digest("coverage: 50%", "coverage: 60%") == before
    assert digest("id: test", "id: renamed") == before
    assert digest("    layer", "    analysis: {alpha: 0.01}\n    layer") == before
    followed = INLINE + "  - exit: true\n"
    assert phase_digests(a_workspace({"campaigns/nudge.yaml": followed}))["cart"] == before


def test_templates_of_a_channel_by_another_name_are_those_of_its_kind() -> None:
    program = compile_workspace(
        a_workspace(
            {
                "antiphon.yaml": a_workspace()
                .files["antiphon.yaml"]
                .decode()
                .replace("sms: {}", "newsletter: {kind: email}"),
                "campaigns/nudge.yaml": CAMPAIGN.replace("channel: email", "channel: newsletter"),
            }
        ),
        release=1,
        phases={},
        templates={("email", "remind"): TemplateFacts("h1")},
        blind=lambda *_: "",
    )

    (send,) = [it for it in program.campaigns["nudge"].steps.values() if isinstance(it, Send)]
    assert (send.channel, send.account) == ("email", "newsletter")
    assert program.templates[send.channel, send.template] == TemplateFacts("h1")


def test_a_metric_says_what_to_add_up_and_for_how_long() -> None:
    written = METRIC.replace(
        "within: 7d",
        "within: 7d\nmeasure: sum\nvalue: properties.revenue\nwinsorize: p99\ncovariate: 30d\n"
        "where: {properties.zip: 01234}",
    )

    metric = compile_metrics(a_workspace({"metrics/ordered.yaml": written}))["ordered-7d"]

    assert metric.match.where == (Filter(("properties", "zip"), (Comparison("is", "01234"),)),)
    assert metric.value == ("properties", "revenue")
    assert (metric.within, metric.covariate, metric.winsorize) == (7 * DAY, 30 * DAY, 0.99)
    assert metric.currency == "EUR"


def test_a_program_is_plain_data_that_survives_the_wire() -> None:
    program = compiled({"campaigns/nudge.yaml": JOURNEY})

    step = program.campaigns["nudge"].steps["bought"]

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(step), type=WaitFor) == step
