"""What is wrong with models: found before anything is trained, each with its line and a way out."""

from collections.abc import Mapping

import pytest

from campaigns.workspace import Workspace
from tests.campaigns.build import CAMPAIGN, SETTINGS, a_workspace, problems_of
from tests.campaigns.test_models import EXPERIMENT, FEED, RATED

TARGET = "target: {not: {event: Order Completed, within: 60d}}"
WITH = {**FEED, **RATED, "campaigns/nudge.yaml": EXPERIMENT, "models/shoppers.yaml": None}

SLIPS: dict[str, str] = {
    # --- what a file is
    "clustr: shoppers": '1: the first key of a model says its kind. Did you mean "cluster"?',
    "segment: x\nwhen: {trait: {vip: true}}": "1: this file declares a segment; move it to "
    "segments/.",
    "cluster: Shoppers": '1: cluster: "Shoppers" cannot be a name.',
    "cluster: shoppers\nfeature: [recency]": '2: unknown key "feature". Did you mean "features"?',
    # --- clusters
    "cluster: shoppers\nalgorithm: kmean": '2: algorithm: "kmean" is not allowed here. Did you '
    'mean "kmeans"?',
    "cluster: shoppers\nk: 1": "2: k: 1 is not a number of clusters: a whole number from 2",
    "cluster: shoppers\nk: {from: 8, to: 4}": "2: k: from 8 to 4 is no range.",
    "cluster: shoppers\nalgorithm: hdbscan\nk: 4": "hdbscan finds the number of clusters itself.",
    "cluster: shoppers\nalgorithm: rfm\nfeatures: [tenure]": "Delete features.",
    "cluster: shoppers\nmin_share: 60%": "min_share is the least a cluster holds: below 50%.",
    "cluster: shoppers\nmin_stability: 2": "2: min_stability: 2 is not a stability: a number from "
    "0 to 1",
    "cluster: shoppers\nhysteresis: 0": "2: hysteresis: 0 is not a number of refreshes",
    "cluster: shoppers\nfeatures: []": "2: features: at least 1 entry is needed here.",
    "cluster: shoppers\nfeatures: [recensy]": '2: there is no feature "recensy". Did you mean '
    '"recency"?',
    "cluster: shoppers\nfeatures: [traits.lvt]": '2: the trait "lvt" is not declared in '
    'antiphon.yaml. Did you mean "ltv"?',
    "cluster: shoppers\nfeatures: [traits.email]": '2: the trait "email" is pii: no model reads',
    "cluster: shoppers\namong: vips": '2: there is no segment "vips". Did you mean "vip"?',
    # --- when
    "cluster: shoppers\nrefresh: dayly": '2: refresh: "dayly" is not a time to refresh. Did you '
    'mean "daily"?',
    "cluster: shoppers\nrefresh: {}": "2: refresh: a refresh says when: daily, weekly",
    "cluster: shoppers\nrefresh: {every: 6h, cron: '0 4 * * *'}": "every and cron both say when",
    "cluster: shoppers\nrefresh:\n  cron: '0 4 31 2 *'": '3: the refresh of "shoppers":',
    "cluster: shoppers\nrefresh: {cron: '0 4 * * 1'}": '2: the refresh of "shoppers":',
    "cluster: shoppers\nrefresh: {every: 30s}": "an interval is at least a minute",
    "cluster: shoppers\nrefresh: weekly\nstale_after: 3d": '2: "shoppers" would be stale before '
    "it is refreshed",
    # --- scores
    "score: churn": '1: the file needs the key "target".',
    "score: churn\ntarget: {event: Order Complete, within: 60d}": '2: the event "Order Complete" '
    'is not declared in events/. Did you mean "Order Completed"?',
    "score: churn\ntarget: {event: Order Completed}": "a target looks ahead for a span",
    "score: churn\ntarget: {within: 60d}": "a target is about an event",
    "score: churn\ntarget: {not: {event: Order Completed, within: 6d}, within: 6d}": "not stands "
    "alone",
    "score: churn\ntarget: {not: {count: true, event: Order Completed, within: 6d}}": "not is "
    "asked of whether something happens",
    "score: churn\ntarget: {count: true, sum: properties.revenue, event: Order Completed, "
    "within: 6d}": "count and sum both say what is measured",
    "score: spend\ntarget: {sum: properties.revenu, event: Order Completed, within: 6d}": "2: the "
    'event "Order Completed" declares no property "revenu". Did you mean "revenue"?',
    "score: spend\ntarget: {sum: properties.zip, event: Order Completed, within: 6d}": "a number "
    "is needed",
    "score: spend\ntarget: {count: true, event: Order Completed, within: 6d}\n"
    "algorithm: logistic": "logistic foretells whether something happens, not how much.",
    f"score: churn\n{TARGET}\nalgorithm: lifetime": "lifetime foretells purchases",
    "score: orders\ntarget: {event: Order Completed, within: 6d}\nalgorithm: lifetime": "lifetime "
    "foretells purchases",
    "score: carts\ntarget: {count: true, event: Product Added, within: 6d}\nalgorithm: lifetime": (
        '2: lifetime foretells purchases, which here are "Order Completed", not "Product Added".'
    ),
    "score: orders\ntarget: {count: true, event: Order Completed, within: 6d}\n"
    "algorithm: lifetime\nimpute: median": "lifetime reads purchases alone. Delete impute.",
    f"score: churn\n{TARGET}\nbudget: 2d": "3: budget: a search for settings takes 1s to 6h.",
    f"score: churn\n{TARGET}\nfolds: 0": "3: folds: 0 is not a number of folds",
    # --- recommenders
    "recommender: liked\nkind: colaborative": 'Did you mean "collaborative"?',
    "recommender: liked\nevents: {Product Addd: 1}": '2: the event "Product Addd" is not declared',
    "recommender: liked\nevents: {Product Added: -1}": "2: Product Added: -1 is not a weight: a "
    "number from 0.001 to 1000",
    "recommender: liked\nevents: {Product Added: {item: properties.cart_id}}": 'needs the key "wei',
    "recommender: liked\nevents: {Product Added: {weight: 1, item: properties.sku}}": "declares no "
    'property "sku"',
    "recommender: liked\nalgorithm: svd": "svd learns from stars",
    "recommender: liked\nkind: popular\nalgorithm: ease": "kind: popular has no algorithm",
    "recommender: liked\ndiversity: 0.3": "diversity compares what items are",
    "recommender: liked\nitems: products\ndiversity: 1": "1 is not a diversity: a number from 0 to",
    "recommender: liked\nkind: popular\npopularity_damping: 0.5": "shows less of it. Delete one",
    "recommender: liked\nkind: content": "kind: content reads what items are.",
    "recommender: liked\nevents: {Product Added: 1}\n"
    "ratings: {event: Product Rated, value: properties.stars}": "keep one.",
    "recommender: liked\nratings:\n  event: Product Rated\n  value: properties.stars\n"
    "  scale: [5, 1]": "scale is the least and the most",
    "recommender: liked\nitems: product": '2: there is no feed "product" in catalog/. Did you mean '
    '"products"?',
    "recommender: liked\nitems: {event: Product Added}": "items of an event need their id",
    "recommender: liked\nitems: {catalog: products, event: Product Added}": "items are a feed",
    "recommender: liked\nitems: products\nattributes: [categori]": '3: items have no "categori". '
    'Did you mean "category"?',
    "recommender: liked\nexclude: {purchased: always}": "Write 30d, ever or never.",
    "recommender: liked\nexclude: {price: {gte: 9, lte: 3}}": "nothing costs at least 9 and at "
    "most 3",
    "recommender: liked\nexclude: {deny: recaled}": '2: there is no list "recaled": '
    'lists/recaled.csv is missing. Did you mean "recalled"?',
    "recommender: liked\nexclude: {allow: people}": '2: the list "people" holds people, by '
    "user_id. A list of items has the first line item.",
    "recommender: liked\nmax_per_category: 2": "asks for the category of items, and says nowhere",
    "recommender: liked\nfallback: [popular, popular]": "a fallback stands twice",
    "recommender: liked\nfallback: [segment_popular]": "needs to know which: segment: NAME.",
    "recommender: liked\neditorial: best": "editorial belongs to the fallback editorial.",
    "recommender: liked\nfallback: [editorial]\neditorial: bestt": 'no feed "bestt" in catalog/',
    # --- send times and uplift
    "send_time: hour\nevents: [Message Clickd]": 'Did you mean "Message Clicked"?',
    "send_time: hour\nexplore: 0%": "explore is the share still sent at any hour",
    "send_time: hour\nmin_events: 0": "2: min_events: 0 is not a number of events",
    "uplift: gain\nmetric: ordered-7d": "an uplift is learnt from one comparison",
    "uplift: gain\nmetric: ordered\nexperiment: cart": '2: there is no metric "ordered". Did you '
    'mean "ordered-7d"?',
    "uplift: gain\nmetric: ordered-7d\nexperiment: kart": '3: there is no experiment "kart". Did '
    'you mean "cart"?',
    "uplift: gain\nmetric: ordered-7d\nexperiment: cart\narm: remnd": 'has no variant "remnd". Did '
    'you mean "remind"?',
    "uplift: gain\nmetric: ordered-7d\nexperiment: cart\narm: control": "compares another arm",
    "uplift: gain\nmetric: ordered-7d\ncampaign: nudge": '3: the campaign "nudge" holds nobody out',
    "uplift: gain\nmetric: ordered-7d\ncampaign: nudge\narm: sent": "Delete arm and control.",
    "uplift: gain\nmetric: ordered-7d\nexperiment: cart\ncost: -1": "cost: -1 is not an amount",
}


@pytest.mark.parametrize("text", SLIPS)
def test_a_slip_in_a_model_is_named_at_its_line_with_what_is_meant(text: str) -> None:
    found = problems_of({**WITH, "models/m.yaml": text})

    assert len(found) == 1, found
    assert found[0].startswith("models/m.yaml:")
    assert SLIPS[text] in found[0].removeprefix("models/m.yaml:")


def test_a_name_belongs_to_one_model_whatever_its_kind() -> None:
    both = {"models/a.yaml": "cluster: who", "models/b.yaml": "send_time: who"}

    assert problems_of(both) == [
        'models/b.yaml:1: the cluster "who" is already declared at models/a.yaml:1. '
        "Names are unique; rename one."
    ]


def test_a_model_in_another_folder_is_sent_home() -> None:
    assert problems_of({"segments/x.yaml": "cluster: shoppers"}) == [
        "segments/x.yaml:1: this file declares a cluster; move it to models/."
    ]


def test_a_feed_that_is_there_but_broken_is_not_called_missing() -> None:
    broken = "id,title,link\npot,Pot,https://shop.example/pot\n"
    text = "recommender: liked\nitems: wares\nfallback: [editorial]\neditorial: wares\n"

    (found,) = problems_of({"catalog/wares.csv": broken, "models/m.yaml": text})

    assert found.startswith('catalog/wares.csv:1: there is no column "url".')


def test_a_metric_that_only_many_people_have_together_says_so() -> None:
    ratio = "metric: share\nmeasure: ratio\nratio: {of: ordered-7d, to: ordered-7d}\n"

    (found,) = problems_of(
        {
            **WITH,
            "metrics/share.yaml": ratio,
            "models/m.yaml": "uplift: gain\nmetric: share\nexperiment: cart",
        }
    )

    assert 'an uplift needs one number for each person, but "share" is measured as ratio' in found


def test_of_several_arms_the_one_that_is_learnt_from_must_be_named() -> None:
    three = EXPERIMENT.replace("      remind:", "      code: {weight: 1, do: []}\n      remind:")
    text = "uplift: gain\nmetric: ordered-7d\nexperiment: cart"

    (found,) = problems_of({"campaigns/nudge.yaml": three, "models/m.yaml": text})

    assert '"cart" has several arms: say which is learnt from, arm: one of code, remind.' in found
    assert not problems_of({"campaigns/nudge.yaml": three, "models/m.yaml": f"{text}\narm: code"})


# --- learning -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learning", "says"),
    [
        ("{purchases: {event: Order Complete}}", 'Did you mean "Order Completed"?'),
        ("{purchases: {event: Order Completed, value: properties.zip}}", "a number is needed"),
        ("{purchases: {returned: Order Refundd}}", 'the event "Order Refundd" is not declared'),
        ("{profiling: {trait: profilling}}", 'the trait "profilling" is not declared'),
        ("{profiling: {trait: email}}", 'the trait "email" is pii'),
        ("{profiling: {unknown: maybe}}", '"maybe" is not allowed here.'),
        ("{purchase: {}}", 'unknown key "purchase". Did you mean "purchases"?'),
    ],
)
def test_a_slip_under_learning_is_named(learning: str, says: str) -> None:
    (found,) = problems_of({"antiphon.yaml": f"{SETTINGS}learning: {learning}\n"})

    assert says in found
    assert found.startswith("antiphon.yaml:14:")


@pytest.mark.parametrize(
    ("features", "sensitive"), [("[recency, hours]", "[hours]"), ("[traits.plan]", "[plan]"),
                                ("[traits.plan]", "[traits.plan]")]
)  # fmt: skip
def test_a_sensitive_feature_is_refused_where_it_is_named(features: str, sensitive: str) -> None:
    settings = f"{SETTINGS}learning: {{sensitive: {sensitive}}}\n"

    (found,) = problems_of(
        {"antiphon.yaml": settings, "models/m.yaml": f"cluster: who\nfeatures: {features}"}
    )

    assert "antiphon.yaml names it under learning.sensitive. Delete it here." in found


# --- schedules ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedules", "says"),
    [
        ("{refresh-churm: {paused: true}}", 'Did you mean "refresh-churn"?'),
        ("{refresh-churn: {run: retention}}", "refreshes a model and runs itself"),
        ("{nightly: {run: model-refresh, every: 1d}}", '"nightly" refreshes no model'),
        ("{refresh-churn: {cron: '0 4 31 2 *'}}", 'the schedule "refresh-churn":'),
    ],
)
def test_a_slip_in_the_schedule_of_a_model_is_named(schedules: str, says: str) -> None:
    settings = f"{SETTINGS}schedules: {schedules}\n"

    (found,) = problems_of({"antiphon.yaml": settings, "models/m.yaml": f"score: churn\n{TARGET}"})

    assert says in found


# --- who uses models ----------------------------------------------------------------------------

MODELS = {
    "models/a.yaml": "cluster: shoppers",
    "models/b.yaml": f"score: churn\n{TARGET}",
    "models/c.yaml": "recommender: liked",
    "models/d.yaml": "send_time: hour",
}


def asked(condition: str) -> Mapping[str, str]:
    return {**MODELS, "segments/asks.yaml": f"segment: asks\nwhen: {condition}\n"}


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("{score: {model: shoppers, percentile: {gte: 90}}}",
         '"shoppers" is a cluster (models/a.yaml); score asks a score or uplift. Write cluster:'),
        ("{cluster: {model: churn, is: lost}}",
         '"churn" is a score (models/b.yaml); cluster asks a cluster. Write score:'),
        ("{all: [{not: {score: {model: liked, value: {gte: 1}}}}]}",
         '"liked" is a recommender (models/c.yaml); score asks a score or uplift.'),
        ("{any: [{none: [{cluster: {model: hour, is: '09'}}]}]}", '"hour" is a send_time'),
    ],
)  # fmt: skip
def test_a_condition_that_asks_a_model_of_another_kind_is_refused(
    condition: str, says: str
) -> None:
    (found,) = problems_of(asked(condition))

    assert found.startswith("segments/asks.yaml:2:")
    assert says in found


def test_a_condition_in_a_branch_is_asked_the_same_question() -> None:
    branch = CAMPAIGN + "  - branch: [{if: {cluster: {model: churn, is: lost}}, do: []}]\n"

    (found,) = problems_of({**MODELS, "campaigns/nudge.yaml": branch})

    assert found.startswith("campaigns/nudge.yaml:9:")


def notices(changed: Mapping[str, str | None]) -> list[str]:
    found: Workspace = a_workspace(changed)
    return [str(notice) for notice in found.notices]


def test_a_score_that_no_model_makes_may_come_from_a_file_and_check_says_so() -> None:
    loaded = asked("{score: {model: propensity, value: {gte: 1}}}")

    assert [it for it in notices(loaded) if "propensity" in it] == [
        'segments/asks.yaml:2: no file of models/ makes "propensity": it answers for those whom '
        "`antiphon scores load propensity FILE` brings, and for nobody before."
    ]
    assert not notices(asked("{score: {model: churn, value: {gte: 1}}}"))


def test_purchases_that_nobody_declares_are_pointed_out_where_a_model_reads_them() -> None:
    other = {"events/completed.yaml": None, "metrics/ordered.yaml": None}

    said = notices({**other, "models/a.yaml": "cluster: shoppers"})

    assert len(said) == 1
    assert 'models take "Order Completed" for a purchase, and no file of events/' in said[0]
    assert not notices(other)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("recommend: {model: likd}", 'there is no recommender "likd". Did you mean "liked"?'),
        ("recommend: {model: churn}", '"churn" is a score (models/b.yaml); a recommender is need'),
        ("recommend: {model: liked, n: 0}", "0 is not a number of picks. Write 1 to 50."),
        ("recommend: {model: liked, n: 51}", "51 is not a number of picks. Write 1 to 50."),
        ("recommend: {model: liked, as: profile}", '"profile" already means something'),
        ("recommend: {model: liked, as: My Picks}", "cannot name an answer"),
        ("recommend: {model: liked, exclude: [purchasd]}", 'Did you mean "purchased"?'),
        ("recommend: {model: liked, if_fewer: drop}", '"drop" is not allowed here.'),
        ("recommend: {model: liked, m: 3}", 'unknown key "m".'),
        ("best_time: {within: 24h, model: liked}", '"liked" is a recommender'),
        ("best_time: {within: 24h, model: hours}", 'there is no send_time "hours". Did you mean'),
        ("delay_until: {best_time: {within: 24h, model: churn}}", '"churn" is a score'),
    ],
)
def test_a_step_that_asks_a_model_must_find_one_of_its_kind(step: str, says: str) -> None:
    journey = f"{CAMPAIGN}  - {step}\n    id: asking\n"

    (found,) = problems_of({**MODELS, "campaigns/nudge.yaml": journey})

    assert found.startswith("campaigns/nudge.yaml:9:")
    assert says in found


def test_a_webhook_and_a_recommender_may_not_save_under_one_name() -> None:
    webhook = "  - webhook: {url: https://x.example, save_as: answer}\n    id: call\n"
    pick = "  - recommend: {model: liked, as: answer}\n"

    for journey in (CAMPAIGN + webhook + pick, CAMPAIGN + pick + webhook):
        (found,) = problems_of({**MODELS, "campaigns/nudge.yaml": journey})
        assert 'saves its answer as "answer". Rename one.' in found
    assert not problems_of({**MODELS, "campaigns/nudge.yaml": CAMPAIGN + pick + pick})


def test_a_list_of_items_holds_nobody() -> None:
    (found,) = problems_of(
        {**FEED, "segments/listed.yaml": "segment: listed\nwhen: {list: recalled}\n"}
    )

    assert 'the list "recalled" holds items, and nobody. Name a list of people.' in found


# --- circles ------------------------------------------------------------------------------------


def test_a_model_may_not_be_learnt_among_those_it_chooses() -> None:
    files = {
        "models/a.yaml": "cluster: shoppers\namong: lost",
        "models/b.yaml": f"score: churn\n{TARGET}\namong: inner",
        "segments/lost.yaml": "segment: lost\n"
        "when: {score: {model: churn, percentile: {gte: 90}}}\n",
        "segments/inner.yaml": "segment: inner\nwhen: {all: [{segment: deep}]}\n",
        "segments/deep.yaml": "segment: deep\nwhen: {not: {cluster: {model: shoppers, is: a}}}\n",
    }

    found = problems_of(files)

    assert found == [
        "models/a.yaml:2: the model is learnt among those it chooses: shoppers -> lost -> churn -> "
        "inner -> deep -> shoppers. Break the circle.",
        "models/b.yaml:3: the model is learnt among those it chooses: churn -> inner -> deep -> "
        "shoppers -> lost -> churn. Break the circle.",
    ]
    assert not problems_of({**files, "models/b.yaml": f"score: churn\n{TARGET}"})


# --- tests that give picks ----------------------------------------------------------------------

TEST = """\
test: picks
given:
  profile: {id: u1}
  picks: {PICKS}
expect: [{nothing_until: 2026-03-10T00:00Z}]
"""


@pytest.mark.parametrize(
    ("picks", "says"),
    [
        ("{likd: [tea]}", 'there is no recommender "likd". Did you mean "liked"?'),
        ("{churn: [tea]}", '"churn" is a score'),
        ("{liked: [{title: Tea}]}", "a pick is the id of an item, or a row that has one"),
        ("{liked: [[tea]]}", "a pick is the id of an item, or a row that has one"),
        ("{liked: tea}", "a list is needed here"),
    ],
)
def test_what_a_test_gives_as_picks_is_checked(picks: str, says: str) -> None:
    (found,) = problems_of({**MODELS, "tests/t.yaml": TEST.replace("{PICKS}", picks)})

    assert says in found
    assert found.startswith("tests/t.yaml:4:")
