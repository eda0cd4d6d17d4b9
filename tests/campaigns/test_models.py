"""models/*.yaml: every kind and key, short where the usual is meant, and what each compiles to."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from campaigns.compile import campaign_versions, phase_digests
from campaigns.model_compile import learning_of, model_hash, models_of, refreshes_of
from campaigns.models import (
    FEATURES,
    ClusterModel,
    Exclusions,
    ItemEvent,
    Learning,
    Model,
    Profiling,
    Purchases,
    Rating,
    RecommenderModel,
    Refresh,
    ScoreModel,
    SendTimeModel,
    Signal,
    Target,
    UpliftModel,
)
from campaigns.plan import difference, render_plan
from engine.core.model.conditions import Comparison, Filter
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.learning.lessons import config_hash
from engine.release.checking import compile_templates
from engine.schedule import Cron, Every, Rule
from engine.scheduling.plans import plans_of
from tests.campaigns.build import CAMPAIGN, SETTINGS, a_workspace

FEED = {
    "catalog/products.csv": "id,title,url,category\ntea,Tea,https://shop.example/tea,drinks\n",
    "catalog/best.csv": "id,title,url\ntea,Tea,https://shop.example/tea\n",
    "lists/recalled.csv": "item\nold-tea\n",
    "lists/people.csv": "user_id\nu1\n",
}
RATED = {"events/rated.yaml": "event: Product Rated\nproperties: {stars: {type: number}}\n"}
EXPERIMENT = CAMPAIGN.replace(
    "  - send: {channel: email, template: remind}\n    id: remind\n",
    "  - experiment: cart\n    variants:\n      control: {weight: 1, do: []}\n"
    "      remind: {weight: 1, do: [{send: {channel: email, template: remind}}]}\n"
    "    metrics: {primary: ordered-7d}\n",
)
WITH = {**FEED, **RATED, "campaigns/nudge.yaml": EXPERIMENT}


def model(text: str, changed: Mapping[str, str | None] | None = None) -> Model:
    (found,) = models_of(a_workspace({**WITH, **(changed or {}), "models/m.yaml": text})).values()
    return found


BOUGHT = Signal("Order Completed", 1.0, "properties.products.*.product_id")
PURCHASE = "event: Order Completed\nproperties: {revenue: {type: number}, products: {type: list}}"
MODELS: dict[str, Model] = {
    "cluster: shoppers": ClusterModel("shoppers"),
    "cluster: shoppers\nk: 4": ClusterModel("shoppers", k=(4, 4)),
    "cluster: shoppers\ntitle: Who\nalgorithm: gmm\nfeatures: [recency, traits.ltv]\n"
    "k: {from: 3, to: 6}\nmin_share: 5%\nmin_stability: 0.7\nhysteresis: 3\nimpute: iterative\n"
    "among: vip\nrefresh: {every: 6h}\nstale_after: 3d": ClusterModel(
        "shoppers", "Who", "gmm", ("recency", "traits.ltv"), (3, 6), 0.05, 0.7, 3, "iterative",
        "vip", Refresh(Every(6 * HOUR), 3 * DAY),
    ),
    "cluster: groups\nalgorithm: rfm": ClusterModel("groups", algorithm="rfm"),
    "cluster: shoppers\nk: {from: 3}": ClusterModel("shoppers", k=(3, 10)),
    "score: churn\ntarget: {not: {event: Order Completed, within: 60d}}": ScoreModel(
        "churn", Target("Order Completed", 60 * DAY, is_negated=True)
    ),
    "score: orders\ntarget: {count: true, event: Order Completed, within: 90d}\n"
    "algorithm: lifetime": ScoreModel(
        "orders", Target("Order Completed", 90 * DAY, measure="count"), algorithm="lifetime"
    ),
    "score: spend\ntitle: Spends\ntarget: {sum: properties.revenue, event: Order Completed, "
    "where: {properties.revenue: {gt: 5}}, within: 30d}\nalgorithm: boosting\nfeatures: monetary\n"
    "gap: 1d\nfolds: 4\nbudget: 5m\nimpute: iterative\namong: vip\nrefresh: daily": ScoreModel(
        "spend",
        Target("Order Completed", 30 * DAY,
               (Filter(("properties", "revenue"), (Comparison("gt", 5),)),),
               "sum", "properties.revenue"),
        "Spends", "boosting", ("monetary",), DAY, 4, 5 * MINUTE, "iterative", "vip", Refresh(),
    ),
    "recommender: also-bought": RecommenderModel("also-bought", signals=(BOUGHT,)),
    "recommender: popular-ones\nkind: popular": RecommenderModel(
        "popular-ones", kind="popular", signals=(BOUGHT,)
    ),
    "recommender: liked\nkind: hybrid\nevents: {Product Added: 3, Order Completed: {weight: 5}}\n"
    "items: products\ntext: [title]\nattributes: [category]\nhalf_life: 30d\ncap: 10\n"
    "exclude: {purchased: 30d, out_of_stock: false, price: {gte: 5, lte: 100}, category: drinks, "
    "deny: recalled}\nmax_per_category: 2\nfallback: [segment_popular, editorial]\nsegment: vip\n"
    "editorial: best\nrefresh: {cron: '0 4 * * mon'}": RecommenderModel(
        "liked", kind="hybrid",
        signals=(Signal("Product Added", 3.0), replace(BOUGHT, weight=5.0)),
        catalog="products", half_life=30 * DAY, cap=10.0,
        exclude=Exclusions(30 * DAY, False, (5.0, 100.0), ("drinks",), "", "recalled"),
        max_per_category=2, fallback=("segment_popular", "editorial"), segment="vip",
        editorial="best", refresh=Refresh(Cron("0 4 * * mon"), 14 * DAY + 2 * HOUR),
    ),
    "recommender: stars\nalgorithm: svd\nratings: {event: Product Rated, value: properties.stars, "
    "scale: [0, 10]}\nexclude: {purchased: never}\nfallback: []": RecommenderModel(
        "stars", algorithm="svd", signals=(),
        rating=Rating("Product Rated", "properties.stars", scale=(0.0, 10.0)),
        exclude=Exclusions(None), fallback=(),
    ),
    "recommender: told\nkind: content\nitems: {event: Product Added, id: properties.cart_id, "
    "title: properties.note}": RecommenderModel(
        "told", kind="content", signals=(BOUGHT,),
        items=ItemEvent("Product Added", (("id", "properties.cart_id"),
                                          ("title", "properties.note"))),
    ),
    "send_time: hour": SendTimeModel("hour"),
    "send_time: hour\ntitle: Theirs\nevents: [Message Clicked, Product Added]\nsessions: false\n"
    "explore: 5%\nmin_events: 3": SendTimeModel(
        "hour", "Theirs", ("Message Clicked", "Product Added"), False, 0.05, 3
    ),
    "uplift: gain\nmetric: ordered-7d\nexperiment: cart": UpliftModel(
        "gain", "ordered-7d", experiment="cart", arm="remind"
    ),
    "uplift: gain\nmetric: ordered-7d\nexperiment: cart\narm: remind\ncontrol: control\n"
    "budget: 30%\nvalue: 0.4\ncost: 0.03\nfeatures: [recency]": UpliftModel(
        "gain", "ordered-7d", "", "cart", "", "remind", "control", 0.3, 0.4, 0.03, ("recency",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", MODELS)
def test_a_model_compiles_to_what_it_says_and_the_usual_elsewhere(text: str) -> None:
    loose = {"events/added.yaml": None} if "content" in text or "Product Added: 3" in text else {}
    events = {"events/completed.yaml": PURCHASE, "events/added.yaml": ADDED} if loose else {}

    assert model(text, events) == MODELS[text]


ADDED = """\
event: Product Added
properties: {cart_id: {type: string}, note: {type: string}, product_id: {type: string}}
"""


def test_an_uplift_of_a_campaign_compares_those_sent_to_with_its_holdout() -> None:
    held = {"campaigns/nudge.yaml": CAMPAIGN + "holdout: 10%\n"}

    found = model("uplift: gain\nmetric: ordered-7d\ncampaign: nudge", held)

    assert found == UpliftModel(
        "gain", "ordered-7d", campaign="nudge", arm="sent", control="held_out"
    )


def test_every_folder_below_models_is_read_and_each_kind_may_stand_there() -> None:
    workspace = a_workspace(
        {
            "models/a.yaml": "cluster: shoppers",
            "models/scores/b.yaml": "title: Who goes\nscore: churn\n"
            "target: {not: {event: Order Completed, within: 60d}}",
        }
    )

    assert {name: form.KIND for name, form in workspace.models.items()} == {
        "shoppers": "cluster",
        "churn": "score",
    }


# --- refreshes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "times", "stale_after"),
    [
        ("daily", Every(DAY), 14 * DAY),
        ("weekly", Every(7 * DAY), 14 * DAY),
        ("{every: 30d}", Every(30 * DAY), 60 * DAY),
        ("{every: 6h, start: 2026-01-01T02:00:00Z}", Every(6 * HOUR, 1_767_232_800_000_000),
         14 * DAY),
        ('{cron: "0 4 1 * *"}', Cron("0 4 1 * *"), 62 * DAY + 2 * HOUR),
        ("{rrule: FREQ=WEEKLY;BYDAY=MO, start: 2026-01-05T04:00:00Z}",
         Rule("FREQ=WEEKLY;BYDAY=MO", 1_767_585_600_000_000), 14 * DAY + 2 * HOUR),
    ],
)  # fmt: skip
def test_a_run_counts_for_two_refreshes_and_at_least_for_a_fortnight(
    written: str, times: object, stale_after: int
) -> None:
    found = model(f"cluster: shoppers\nrefresh: {written}")

    assert found.refresh.times == times
    # In Berlin the week and the month in which summer time ends are an hour longer.
    assert found.refresh.stale_after == stale_after


def test_every_model_has_a_schedule_of_its_own_that_may_be_moved_or_stopped() -> None:
    settings = SETTINGS + (
        "schedules:\n  refresh-churn: {paused: true}\n"
        "  refresh-shoppers: {cron: '0 5 * * sun', zone: UTC}\n"
    )
    models = {
        "models/a.yaml": "cluster: shoppers",
        "models/b.yaml": "score: churn\ntarget: {not: {event: Order Completed, within: 60d}}",
        "models/c.yaml": "send_time: hour",
    }

    usual, moved = (
        plans_of(a_workspace({**models, **it})) for it in ({}, {"antiphon.yaml": settings})
    )

    assert {name: (it.job, it.model, it.times) for name, it in usual.items() if it.model} == {
        "refresh-shoppers": ("model-refresh", "shoppers", Every(DAY)),
        "refresh-churn": ("model-refresh", "churn", Every(7 * DAY)),
        "refresh-hour": ("model-refresh", "hour", Every(7 * DAY)),
    }
    assert "refresh-churn" not in moved
    assert moved["refresh-shoppers"].times == Cron("0 5 * * sun")
    assert (moved["refresh-shoppers"].job, moved["refresh-shoppers"].zone) == (
        "model-refresh",
        "UTC",
    )
    assert moved["refresh-hour"] == usual["refresh-hour"]
    assert set(refreshes_of(a_workspace(models))) <= set(usual)


# --- learning -----------------------------------------------------------------------------------


def test_what_a_purchase_is_can_be_said_and_has_a_usual_answer() -> None:
    settings = SETTINGS + (
        "learning:\n  purchases: {event: Order Completed, value: properties.revenue, items: '', "
        "item: sku, category: kind, returned: '', returned_value: properties.revenue}\n"
        "  profiling: {trait: vip, unknown: refuse}\n  sensitive: [health, hours, health]\n"
    )

    assert learning_of(a_workspace()) == Learning()
    assert learning_of(a_workspace({"antiphon.yaml": settings})) == Learning(
        Purchases("Order Completed", "properties.revenue", "", "sku", "kind", ""),
        Profiling("vip", "refuse"),
        ("health", "hours"),
    )


def test_an_event_about_one_product_names_its_item_by_itself() -> None:
    settings = SETTINGS + "learning: {purchases: {items: '', item: sku}}\n"

    found = model("recommender: also-bought", {"antiphon.yaml": settings})

    assert isinstance(found, RecommenderModel)
    assert found.signals == (Signal("Order Completed", 1.0, "properties.sku"),)


def test_a_model_that_names_no_features_goes_without_the_sensitive_ones() -> None:
    settings = {"antiphon.yaml": SETTINGS + "learning: {sensitive: [hours, monetary]}\n"}
    target = "target: {event: Order Completed, within: 7d}"

    score = model(f"score: buys\n{target}", settings)
    cluster = model("cluster: shoppers", settings)

    assert isinstance(score, ScoreModel)
    assert set(FEATURES) - set(score.features) == {"hours", "monetary"}
    assert isinstance(cluster, ClusterModel)
    assert cluster.features == ("recency", "frequency")


# --- hashes and plans ---------------------------------------------------------------------------


def test_a_models_hash_is_that_of_what_it_learns_and_not_of_its_words() -> None:
    plain = model("cluster: shoppers")

    assert model_hash(model("cluster: shoppers\ntitle: Who shops here")) == model_hash(plain)
    assert model_hash(model("cluster: shoppers\nk: 5")) != model_hash(plain)
    assert model_hash(plain) == "0ad3429d6cc5", "another hash trains every model anew"


def test_keys_that_came_later_change_no_hash_while_they_are_not_used() -> None:
    plain = RecommenderModel(name="also-bought")

    assert model_hash(plain) == "c04b12597397", "as in 0.5, or each seed is drawn anew"
    assert config_hash(plain, Learning()) == "2cd9699fe9087dd0"
    assert model_hash(replace(plain, diversity=0.2)) != model_hash(plain)
    assert config_hash(replace(plain, popularity_damping=0.2), Learning()) != config_hash(
        plain, Learning()
    )


def test_a_recommender_says_how_much_variety_it_wants() -> None:
    plain = model("recommender: liked\nitems: products")
    mixed = model("recommender: liked\nitems: products\ndiversity: 0.3\npopularity_damping: 0.25")

    assert isinstance(plain, RecommenderModel)
    assert isinstance(mixed, RecommenderModel)
    assert (plain.diversity, plain.popularity_damping) == (0, 0)
    assert (mixed.diversity, mixed.popularity_damping) == (0.3, 0.25)


def test_models_change_no_campaigns_version_and_open_no_phase() -> None:
    before = a_workspace({"campaigns/nudge.yaml": EXPERIMENT})
    after = a_workspace({**WITH, "models/m.yaml": "send_time: hour"})

    assert campaign_versions(after) == campaign_versions(before)
    assert phase_digests(after) == phase_digests(before)


def test_a_plan_tells_models_as_it_tells_everything_else() -> None:
    churn = "score: churn\ntarget: {event: Order Completed, within: 60d}\n"
    old = a_workspace({"models/a.yaml": "cluster: shoppers", "models/b.yaml": churn})
    new = a_workspace({"models/b.yaml": churn + "gap: 1d\n", "models/c.yaml": "send_time: hour"})

    assert render_plan(difference(old, new)) == (
        '~ model "churn"\n    gap: 1d is new\n+ model "hour"\n- model "shoppers"\n'
        "Plan: 1 to add, 1 to change, 1 to remove."
    )


# --- what the core is told ----------------------------------------------------------------------


def program_of(changed: Mapping[str, str | None]) -> Any:
    from campaigns.compile import compile_workspace

    workspace = a_workspace(changed)
    facts = {key: it.facts() for key, it in compile_templates(workspace).items()}
    return compile_workspace(
        workspace, release=1, phases={}, templates=facts, blind=lambda *_: "blind"
    )


def test_the_core_is_told_how_many_sends_explore_and_where_a_triggers_items_stand() -> None:
    program = program_of(
        {
            "events/added.yaml": ADDED,
            "models/a.yaml": "send_time: hour\nexplore: 20%",
            "models/b.yaml": "send_time: other",
            "models/c.yaml": "recommender: liked\nevents: {Product Added: 3}",
        }
    )

    assert program.explored == {"hour": 0.2, "other": 0.1}
    assert program.item_paths == {
        "": (("product_id",),),
        "Order Completed": (("products", "*", "product_id"),),
        "Product Added": (("product_id",),),
    }
    assert program_of({}).item_paths == {}


def test_the_core_is_told_which_templates_show_picks() -> None:
    journey = (
        "campaign: nudge\ntrigger: {event: Product Added}\ntopic: offers\njourney:\n"
        "  - recommend: {model: liked, as: goes_with}\n"
        "  - send: {channel: email, template: remind}\n"
    )
    block = "{% picks 2 as it %}{{ it.title }}{% endpicks %}"
    loop = "{% for it in goes_with %}{{ it.title }}{% endfor %}"
    front = "---\nsubject: Hello\n---\n"
    program = program_of(
        {
            "models/c.yaml": "recommender: liked",
            "campaigns/nudge.yaml": journey,
            "templates/email/remind.html": f"{front}<p>{block}</p>",
            "templates/email/other.html": f"{front}<p>{loop}</p>",
            "templates/sms/code.txt": "Code {{ picks | length }}",
        }
    )

    assert {key: facts.shows for key, facts in program.templates.items()} == {
        ("email", "remind"): ("picks",),
        ("email", "other"): ("goes_with",),
        ("email", "code"): (),
        ("sms", "code"): ("picks",),
    }
