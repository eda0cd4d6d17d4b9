"""The recommend step: what is asked, what messages then show, and what becomes of too few."""

import pytest

from engine.core.model.campaigns import Experiment, Holdout, TemplateFacts, Variant
from engine.core.model.effects import Discard, Emit, Expose, Ghost, PickAsk, SendMessage
from engine.core.model.instants import HOUR, ProfileId
from engine.core.model.steps import (
    Delay,
    Duration,
    ExperimentStep,
    Expression,
    Recommend,
    Track,
)
from tests.core.build import (
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    only,
    person_held_by,
)

ADDED = an_event("Product Added", "2026-03-02T10:00Z", product_id="tea")
SHOWING = {
    ("email", "hello"): TemplateFacts("h1", shows=("picks",)),
    ("email", "plain"): TemplateFacts("h2"),
}


def rows(*ids):
    return [{"id": each, "title": each.title(), "source": "also-bought"} for each in ids]


class Model:
    """A recommender that knows these items, and remembers what it was asked."""

    def __init__(self, *ids):
        self.answer = rows(*ids)
        self.asked = []

    def __call__(self, ask):
        self.asked.append(ask)
        return self.answer[: ask.n + ask.n_spare]


def showing(*, if_fewer="fill", n=2, behind=None, **changes):
    """Picks, then a message that shows them, then one that does not."""
    return a_campaign(
        "cart",
        Recommend("ask", "also-bought", n, "picks", ("purchased",), if_fewer, "mail"),
        a_send("mail", next="more"),
        a_send("more", template="plain", next=behind and behind.id),
        *([behind] if behind else []),
        **changes,
    )


def played(campaign, model, *, number=1, **changes):
    theatre = a_theatre(campaign, templates=SHOWING, **changes)
    return theatre.play(a_person(number), ADDED, pick=model)


def test_the_model_is_asked_once_and_its_first_items_are_what_messages_show():
    model = Model("pot", "cup", "tin", "jar", "mug")

    first, second = only(played(showing(), model), SendMessage)

    assert model.asked == [PickAsk(ProfileId(1), "also-bought", 2, 2, ("purchased",), (), ADDED.at)]
    assert [each["id"] for each in first.context["picks"]] == ["pot", "cup"]
    assert second.context["picks"] == first.context["picks"]


def test_what_was_asked_and_what_is_left_over_is_kept_with_the_message():
    model = Model("pot", "cup", "tin", "jar", "mug")

    message, _ = only(played(showing(), model), SendMessage)

    assert message.context["_picks"]["picks"] == {
        "model": "also-bought",
        "n": 2,
        "if_fewer": "fill",
        "exclude": ["purchased"],
        "items": [],
        "at": "2026-03-02T10:00:00Z",
        "spares": rows("tin", "jar"),
    }


@pytest.mark.parametrize(
    ("paths", "brings", "items"),
    [
        ({"": (("product_id",),)}, {"product_id": "tea"}, ("tea",)),
        ({"": (("product_id",),)}, {"product_id": 7}, ("7",)),
        ({"Product Added": (("lines", "*", "sku"),)},
         {"lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "a"}, {"no": 1}]}, ("a", "b")),
        ({"Other": (("sku",),), "": (("product_id",),)}, {"sku": "a", "product_id": "b"}, ("b",)),
        ({"": (("product_id",),)}, {"product_id": {"deep": 1}}, ()),
        ({"": (("product_id",),)}, {"product_id": True}, ()),
        ({"": (("product_id",),)}, {}, ()),
    ],
)  # fmt: skip
def test_the_items_of_the_trigger_are_told_to_the_model(paths, brings, items):
    model = Model()
    theatre = a_theatre(showing(), templates=SHOWING, item_paths=paths)

    theatre.play(a_person(), an_event("Product Added", "2026-03-02T10:00Z", **brings), pick=model)

    assert model.asked[0].items == items


def test_where_too_few_are_found_the_message_that_shows_them_is_left_out_with_its_reason():
    effects = played(showing(if_fewer="skip"), Model("pot"))

    (left_out,) = only(effects, Discard)
    (message,) = only(effects, SendMessage)

    assert (left_out.why, left_out.step) == ("fewer than 2 picks of also-bought", "mail")
    assert left_out.draft.template == "hello"
    assert message.draft.template == "plain", "it shows no picks"


def test_one_pick_is_not_called_picks():
    (left_out,) = only(played(showing(if_fewer="skip", n=1), Model()), Discard)

    assert left_out.why == "fewer than 1 pick of also-bought"


@pytest.mark.parametrize(("if_fewer", "shown"), [("fill", ["pot"]), ("hide", [])])
def test_too_few_may_also_be_shown_or_hidden(if_fewer, shown):
    message, _ = only(played(showing(if_fewer=if_fewer), Model("pot")), SendMessage)

    assert [each["id"] for each in message.context["picks"]] == shown
    assert message.context["_picks"]["picks"]["spares"] == []


def test_without_any_recommender_nothing_is_picked_and_nobody_stands_still():
    theatre = a_theatre(showing(), templates=SHOWING)

    first, _ = only(theatre.play(a_person(), ADDED), SendMessage)

    assert first.context["picks"] == []


def test_asking_again_under_the_same_name_takes_its_place_and_leaves_earlier_messages_alone():
    campaign = a_campaign(
        "cart",
        Recommend("ask", "also-bought", 2, if_fewer="skip", next="mail"),
        a_send("mail", next="again"),
        Recommend("again", "popular", 1, next="last"),
        a_send("last"),
    )
    theatre = a_theatre(campaign, templates=SHOWING)

    def pick(ask):
        return rows("pot") if ask.model == "also-bought" else rows("best")

    effects = theatre.play(a_person(), ADDED, pick=pick)

    assert [each.why for each in only(effects, Discard)] == ["fewer than 2 picks of also-bought"]
    (message,) = only(effects, SendMessage)
    assert [each["id"] for each in message.context["picks"]] == ["best"]


def test_two_answers_stand_side_by_side_under_names_of_their_own():
    campaign = a_campaign(
        "cart",
        Recommend("ask", "also-bought", 1, "goes_with", next="more"),
        Recommend("more", "popular", 1, "best", if_fewer="skip", next="mail"),
        a_send("mail"),
    )
    templates = {("email", "hello"): TemplateFacts("h1", shows=("goes_with",))}
    theatre = a_theatre(campaign, templates=templates)

    (message,) = only(
        theatre.play(a_person(), ADDED, pick=lambda ask: rows("pot")[: ask.model != "popular"]),
        SendMessage,
    )

    assert [each["id"] for each in message.context["goes_with"]] == ["pot"]
    assert "best" not in message.context
    assert message.context["_picks"]["best"]["why"] == "fewer than 1 pick of popular"


def test_the_answer_is_still_there_after_a_wait():
    campaign = a_campaign(
        "cart",
        Recommend("ask", "also-bought", 1, next="wait"),
        Delay("wait", Duration(HOUR), "mail"),
        a_send(),
    )
    theatre, person, model = a_theatre(campaign), a_person(), Model("pot")

    theatre.play(person, ADDED, pick=model)
    (message,) = only(theatre.play(person, until=ADDED.at + HOUR, pick=model), SendMessage)

    assert [each["id"] for each in message.context["picks"]] == ["pot"]
    assert len(model.asked) == 1


def test_who_is_held_out_is_asked_for_alike_and_their_ghost_left_out_alike():
    number = person_held_by(0.5, seed="cart")
    held = {"holdout": Holdout(0.5, "cart")}
    model = Model("pot", "cup")

    ghosts = only(played(showing(**held), model, number=number), Ghost)
    left_out = only(played(showing(if_fewer="skip", **held), Model("pot"), number=number), Discard)

    assert len(model.asked) == 1
    assert [each["id"] for each in ghosts[0].context["picks"]] == ["pot", "cup"]
    assert [each.why for each in left_out] == ["fewer than 2 picks of also-bought"]


@pytest.mark.parametrize(
    ("if_fewer", "answer"), [("skip", "fewer than 2 picks of also-bought"), ("fill", "allow")]
)
def test_an_experiment_stores_whether_the_arm_would_have_had_its_picks(if_fewer, answer):
    experiment = Experiment("nudge", "cart", (Variant("control", 1), Variant("some", 1)), "n1")
    campaign = a_campaign(
        "cart",
        ExperimentStep("test", "nudge", {"control": None, "some": "ask"}),
        Recommend("ask", "also-bought", 2, if_fewer=if_fewer, next="mail"),
        a_send(),
    )
    facts = {"experiments": {("nudge", 1): experiment}, "phases": {"nudge": 1}}

    (exposed,) = only(played(campaign, Model("pot"), **facts), Expose)

    assert exposed.would_allow == {"some": answer}


def test_a_later_step_reads_the_answer_or_says_that_it_is_missing():
    track = Track("mark", "Shown", {"n": Expression("picks")})

    shown = played(showing(behind=track), Model("pot", "cup"))
    missing = played(showing(if_fewer="skip", behind=track), Model())

    (event,) = only(shown, Emit)
    assert event.properties["n"] == rows("pot", "cup")
    assert only(missing, Discard)[-1].why == "missing value: picks"
