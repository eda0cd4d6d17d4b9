"""The workspace the rig plays: small, and every construct that has ever broken is in it.

Programs are built by hand, so that the rig can only fail because the engine did.
"""

from functools import lru_cache

import msgspec

from campaigns.load import load_bundle
from channels.base import Channel
from channels.content.expressions import compile_expression, evaluate
from channels.content.templates import CompiledTemplate, compile_template
from engine.core.model.campaigns import (
    Campaign,
    Cap,
    EventTrigger,
    Experiment,
    Holdout,
    Program,
    QuietHours,
    Reentry,
    ScheduleTrigger,
    SegmentTrigger,
    Topic,
    Variant,
)
from engine.core.model.conditions import (
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
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
    Send,
    Track,
    Update,
    WaitFor,
)
from engine.core.segments import for_program
from engine.release.playbook import Playbook

SETTINGS = b"""zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}, orders: {transactional: true}}
channels: {email: {provider: sandbox, from: shop@example.com}, sms: {provider: sandbox}}
traits: {email: {type: email, pii: true}, phone: {type: phone, pii: true}}
"""
TEMPLATES = {
    "templates/email/soft.txt": b"---\nsubject: Your cart\n---\nCart {{ event.cart }} waits.\n",
    "templates/email/last.txt": b"---\nsubject: Last call\n---\n{{ unsubscribe_url }}\n",
    "templates/email/receipt.txt": b"---\nsubject: Thanks\n---\nOrder {{ event.order }}.\n",
    "templates/sms/hello.txt": b"Hello {{ profile.plan }}.\n",
    "templates/sms/hard.txt": b"Your cart {{ event.cart }} ends soon.\n",
}
EXPERIMENT = "nudge"
HOLDOUT_SHARE = 0.15


def _segments() -> dict[str, Condition]:
    return {
        "engaged": EventCondition(
            EventMatch("Product Viewed"), (Comparison("gte", 2),), Window(within=2 * HOUR)
        ),
        "left-cart": EventCondition(
            EventMatch("Product Added"),
            window=Window(within=DAY),
            not_followed_by=FollowedBy(EventMatch("Order Completed"), 30 * MINUTE),
        ),
        "buyer": EventCondition(EventMatch("Order Completed")),
        "gold": TraitCondition(Filter(("plan",), (Comparison("is", "gold"),))),
        "warm": AnyOf((SegmentCondition("engaged"), SegmentCondition("gold"))),
    }


def _campaigns() -> dict[str, Campaign]:
    cart = Campaign(
        name="cart",
        version="v1",
        trigger=EventTrigger(EventMatch("Product Added"), key="properties.cart"),
        steps={
            "settle": Delay("settle", Duration(30 * MINUTE), next="nudge"),
            "nudge": ExperimentStep(
                "nudge", EXPERIMENT, {"control": "wait", "soft": "soft", "hard": "hard"}
            ),
            "soft": Send("soft", "email", "soft", next="wait"),
            "hard": Send("hard", "sms", "hard", expires=6 * HOUR, next="wait"),
            "wait": WaitFor(
                "wait",
                EventMatch("Product Viewed"),
                Duration(2 * HOUR),
                then="fork",
                on_timeout="fork",
            ),
            "fork": Branch("fork", ((SegmentCondition("warm"), "last"),), otherwise=None),
            "last": Send("last", "email", "last"),
        },
        first="settle",
        reentry=Reentry("after_gap", gap=HOUR),
        holdout=Holdout(HOLDOUT_SHARE, "cart-holdout"),
        exit_when=EventMatch("Order Completed"),
        topic="offers",
        priority=60,
    )
    receipt = Campaign(
        name="receipt",
        version="v1",
        trigger=EventTrigger(EventMatch("Order Completed"), key="properties.order"),
        steps={"thank": Send("thank", "email", "receipt")},
        first="thank",
        topic="orders",
    )
    welcome = Campaign(
        name="welcome",
        version="v1",
        trigger=SegmentTrigger("engaged"),
        steps={
            "note": Update("note", {"plan": compile_expression("{{ 'gold' }}")}, next="tell"),
            "tell": Track("tell", "Welcomed", {"from": "rig"}, next="mail"),
            "mail": Send("mail", "sms", "hello"),
        },
        first="note",
        reentry=Reentry("after_exit"),
        topic="offers",
    )
    regular = Campaign(
        name="regular",
        version="v1",
        trigger=ScheduleTrigger("0 */6 * * *", "UTC"),
        steps={"mail": Send("mail", "email", "last")},
        first="mail",
        audience=SegmentCondition("buyer"),
        topic="offers",
        when_capped="drop",
        priority=10,
    )
    return {it.name: it for it in (cart, receipt, welcome, regular)}


def an_experiment(phase: int) -> Experiment:
    weights = {1: (1, 1, 1), 2: (1, 4, 1)}.get(phase, (1, 1, 6))
    names = ("control", "soft", "hard")
    return Experiment(
        EXPERIMENT,
        "cart",
        tuple(Variant(name, weight) for name, weight in zip(names, weights, strict=True)),
        seed=f"nudge/{phase}",
        phase=phase,
    )


@lru_cache
def _templates() -> dict[tuple[str, str], CompiledTemplate]:
    names: list[tuple[Channel, str]] = [
        *(("email", name) for name in ("soft", "last", "receipt")),
        *(("sms", name) for name in ("hello", "hard")),
    ]
    return {(c, n): compile_template(c, n, TEMPLATES) for c, n in names}


@lru_cache
def a_playbook(release: int = 1) -> Playbook:
    """The workspace as of a release: each later one opens a phase with other weights.

    From release 2 on a segment more is kept, so that features must be rebuilt from history.
    """
    templates = _templates()
    segments = _segments()
    if release > 1:
        segments["viewer"] = EventCondition(
            EventMatch("Product Viewed"), (Comparison("gte", 3),), Window(within=7 * DAY)
        )
    program = Program(
        release=release,
        zone="UTC",
        campaigns=_campaigns(),
        segments=segments,
        experiments={(EXPERIMENT, n): an_experiment(n) for n in range(1, release + 1)},
        phases={EXPERIMENT: release},
        topics={"offers": Topic("offers"), "orders": Topic("orders", is_transactional=True)},
        templates={key: template.facts() for key, template in templates.items()},
        caps=(Cap(3, DAY, channel="email"),),
        quiet_hours=QuietHours(23 * 60, 5 * 60),
        pii_traits=frozenset({"email", "phone"}),
    )
    return Playbook(
        workspace=_workspace(),
        program=program,
        segments=for_program(program),
        templates=templates,
        evaluate=evaluate,
        features_at=_features_at,
    )


def _features_at(release: int) -> frozenset[str]:
    return a_playbook(release).segments.feature_keys if release else frozenset()


@lru_cache
def _workspace():  # type: ignore[no-untyped-def]
    return load_bundle({"antiphon.yaml": SETTINGS}, environ={})


def packed(value: object) -> bytes:
    """A value of the core in a form in which equal means equal."""
    return msgspec.msgpack.encode(value, order="deterministic")
