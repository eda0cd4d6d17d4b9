"""Exposures that clients report: the first wins, the unplanned is flagged, nothing crashes."""

import pytest

from engine.core.assigning import Asked, decide
from engine.core.merge import merge_people
from engine.core.model.campaigns import Allocation, Bandit, Experiment, Holdout, Variant
from engine.core.model.effects import Emit, Expose, Misreport
from engine.core.model.people import Event, Exposed
from engine.core.model.steps import ExperimentStep
from engine.core.play import play
from engine.core.roster import roster_of
from tests.core.build import (
    DAY_ONE,
    Theatre,
    a_campaign,
    a_person,
    a_program,
    a_send,
    at,
    evaluate,
    only,
    person_held_by,
)

HALVES = (Variant("control", 1, "blue"), Variant("green", 1, "green"))


def a_served(**changes):
    return Experiment(
        **{"name": "button", "campaign": "", "variants": HALVES, "seed": "button", **changes}
    )


def a_theatre_of(*experiments, **changes):
    return Theatre(
        a_program(
            *changes.pop("campaigns", ()),
            experiments={(each.name, each.phase): each for each in experiments},
            phases={each.name: each.phase for each in experiments},
            **changes,
        )
    )


def viewed(when=DAY_ONE, *, ids=None, happened=None, is_ours=False, **properties):
    instant = at(when)
    return Event(
        seq=instant,
        name="Experiment Viewed",
        at=instant if happened is None else at(happened),
        accepted_at=instant,
        properties=properties,
        context={"ids": ids} if ids is not None else {},
        is_ours=is_ours,
    )


def saw(variant, when=DAY_ONE, **more):
    return viewed(when, experiment_id="button", variation_id=variant, **more)


def assigned(person, theatre):
    """The variant that our own assignment gives."""
    program = theatre.program
    asked = Asked(program, roster_of(program), theatre.segments, person, at(DAY_ONE))
    return decide(asked, "button").variant


def test_what_a_client_saw_is_its_exposure() -> None:
    theatre = a_theatre_of(a_served())
    for number in range(1, 21):
        person = a_person(number)
        variant = assigned(person, theatre)

        (expose,) = only(theatre.play(person, saw(variant)), Expose)

        assert (expose.experiment, expose.phase, expose.variant) == ("button", 1, variant)
        assert (expose.at, expose.probability, expose.source) == (at(DAY_ONE), 0.5, "event")
        assert (expose.flag, expose.unit, expose.campaign, expose.would_allow) == ("", "", "", {})
        assert person.state.exposures == {"button": Exposed(variant, 1, at(DAY_ONE))}


@pytest.mark.parametrize(
    "properties",
    [
        {"experiment_name": "button", "variation_name": "green"},
        {"experimentId": "button", "variationId": "1"},
        {"experiment": "button", "variant": 1},
        {"experiment_id": "8817", "experiment_name": "button", "variation_id": "green"},
    ],
)
def test_the_names_of_segments_spec_and_of_growthbooks_sdks_are_understood(properties) -> None:
    (expose,) = only(a_theatre_of(a_served()).play(a_person(), viewed(**properties)), Expose)

    assert (expose.experiment, expose.variant) == ("button", "green")


def test_the_first_exposure_wins_and_saying_it_again_changes_nothing() -> None:
    theatre, person = a_theatre_of(a_served()), a_person()
    variant = assigned(person, theatre)
    other = "green" if variant == "control" else "control"

    first = theatre.play(person, saw(variant))
    again = theatre.play(person, saw(variant, "2026-03-03T10:00Z"))
    crossed = theatre.play(person, saw(other, "2026-03-04T10:00Z"))

    assert [len(only(it, Expose)) for it in (first, again, crossed)] == [1, 0, 0]
    assert not only(again, Misreport)
    assert [it.why for it in only(crossed, Misreport)] == ["another variant than the first"]
    assert person.state.exposures["button"] == Exposed(variant, 1, at(DAY_ONE))


def test_what_our_assignment_does_not_give_is_kept_and_flagged() -> None:
    theatre, person = a_theatre_of(a_served()), a_person()
    other = "green" if assigned(person, theatre) == "control" else "control"

    (expose,) = only(theatre.play(person, saw(other)), Expose)

    assert (expose.variant, expose.flag, expose.probability) == (other, "off_plan", 0.5)
    assert person.state.exposures["button"].variant == other, "it is what they saw"


def test_outside_the_coverage_or_held_out_there_is_nothing_planned_to_see() -> None:
    uncovered = a_theatre_of(a_served(coverage=0.0))
    held = a_theatre_of(a_served(), global_holdout=Holdout(0.5, "holdout:global"))
    number = person_held_by(0.5, seed="holdout:global")

    flags = []
    for theatre, person in ((uncovered, a_person()), (held, a_person(number))):
        (expose,) = only(theatre.play(person, saw("green")), Expose)
        flags.append(expose.flag)
    assert flags == ["off_plan", "held_out"]


def test_an_audience_that_was_left_meanwhile_takes_nothing_back() -> None:
    theatre = a_theatre_of(a_served(audience="nobody"))
    person = a_person()
    plain = assigned(person, a_theatre_of(a_served()))

    (expose,) = only(theatre.play(person, saw(plain)), Expose)

    assert expose.flag == "", "it was asked when it was served"


def test_a_forced_variant_is_exposed_as_such() -> None:
    theatre = a_theatre_of(a_served(unit="user", forced={"qa": "green"}))

    (expose,) = only(theatre.play(a_person(), saw("green", ids={"user": "qa"})), Expose)

    assert (expose.flag, expose.unit) == ("forced", "qa")


def test_each_anonymous_id_of_a_person_is_a_unit_of_its_own() -> None:
    theatre, person = a_theatre_of(a_served(unit="anonymous")), a_person()
    units = {}
    for place, device in enumerate(("phone", "tablet", "phone")):
        effects = theatre.play(
            person, saw("green", f"2026-03-0{place + 2}T10:00Z", ids={"anonymous": device})
        )
        units.setdefault(device, []).extend(only(effects, Expose))

    assert {device: len(exposes) for device, exposes in units.items()} == {"phone": 1, "tablet": 1}
    assert sorted(person.state.exposures) == ["button\nphone", "button\ntablet"]


def test_a_second_person_of_the_account_shares_the_first_ones_variant() -> None:
    theatre = a_theatre_of(a_served(unit="traits.account_id", phase=2, seed="new"))
    person = a_person(traits={"account_id": "a1"})
    first = Exposed("green", 1, 7)
    effects = play(
        person,
        [saw("green")],
        program=theatre.program,
        segments=theatre.segments,
        floor=0,
        horizon=at(DAY_ONE),
        evaluate=evaluate,
        new_id=lambda kind: 1,
        shown=lambda experiment, unit: first if unit == "a1" else None,
    )

    (expose,) = only(effects, Expose)
    assert (expose.variant, expose.phase, expose.unit, expose.flag) == ("green", 1, "a1", "")


def test_a_report_of_an_earlier_phase_counts_in_that_phase() -> None:
    old, new = a_served(seed="old"), a_served(seed="new", phase=2)
    program = a_program(experiments={("button", 1): old, ("button", 2): new}, phases={"button": 2})
    theatre = Theatre(program)
    n_elsewhere = 0
    for number in range(1, 41):
        before = assigned(a_person(number), a_theatre_of(old))
        n_elsewhere += before != assigned(a_person(number), theatre)

        (expose,) = only(theatre.play(a_person(number), saw(before, phase=1)), Expose)

        assert (expose.phase, expose.flag) == (1, "")
    assert n_elsewhere > 8, "the new seed draws anew"


@pytest.mark.parametrize(
    ("event", "experiment", "why"),
    [
        (viewed(), "", "unknown experiment"),
        (viewed(experiment_id="nope", variation_id="green"), "", "unknown experiment"),
        (viewed(experiment_id=["button"], variation_id="green"), "", "unknown experiment"),
        (viewed(experiment_id="button"), "button", "unknown variant"),
        (viewed(experiment_id="button", variation_id="grene"), "button", "unknown variant"),
        (viewed(experiment_id="button", variation_id=2), "button", "unknown variant"),
        (viewed(experiment_id="button", variation_id=True), "button", "unknown variant"),
        (viewed(experiment_id="button", variation_id=-1), "button", "unknown variant"),
        (viewed(experiment_id="button", variation_id="²"), "button", "unknown variant"),
        (viewed(experiment_id="cart", variation_id="a"), "cart", "exposed by its journey"),
        (viewed(experiment_id="over", variation_id="green"), "over", "not live"),
        (viewed(experiment_id="draft", variation_id="green"), "draft", "not live"),
        (viewed(experiment_id="visit", variation_id="green"), "visit", "no unit"),
        (
            viewed(experiment_id="visit", variation_id="green", ids={"anonymous": 7}),
            "visit",
            "no unit",
        ),
    ],
)
def test_what_cannot_be_taken_is_counted_by_its_reason(event, experiment, why) -> None:
    arms = {"control": None, "green": None}
    campaign = a_campaign("c", ExperimentStep("fork", "cart", arms), trigger="Elsewhere")
    theatre = a_theatre_of(
        a_served(),
        a_served(name="over", state="stopped", winner="green"),
        a_served(name="draft", state="draft"),
        a_served(name="visit", unit="anonymous"),
        Experiment("cart", "c", HALVES, "cart"),
        campaigns=(campaign,),
    )
    person = a_person()

    effects = theatre.play(person, event)

    assert [(it.experiment, it.why) for it in only(effects, Misreport)] == [(experiment, why)]
    assert not only(effects, Expose)
    assert person.state.exposures == {}


def test_a_late_report_is_dated_by_when_it_happened_and_never_by_the_future() -> None:
    theatre = a_theatre_of(a_served())

    (late,) = only(theatre.play(a_person(), saw("green", happened="2026-02-27T10:00Z")), Expose)
    (early,) = only(theatre.play(a_person(2), saw("green", happened="2026-03-02T10:01Z")), Expose)

    assert (late.at, early.at) == (at("2026-02-27T10:00Z"), at(DAY_ONE))


def test_what_our_own_server_saw_says_so() -> None:
    (expose,) = only(a_theatre_of(a_served()).play(a_person(), saw("green", is_ours=True)), Expose)

    assert expose.source == "api"


def test_a_bandits_exposure_bears_the_version_it_was_drawn_by() -> None:
    learnt = (Allocation(3, at(DAY_ONE), {"control": 1, "green": 9_999}),)
    theatre = a_theatre_of(a_served(bandit=Bandit(explore=0.0)), allocations={"button": learnt})

    (expose,) = only(theatre.play(a_person(), saw("green")), Expose)

    assert (expose.allocation, expose.probability) == (3, pytest.approx(0.9999))


@pytest.mark.parametrize("version", [99, -1, "3", 1.5, True])
@pytest.mark.parametrize("explore", [0.0, 1.0])
def test_an_allocation_that_never_was_is_flagged_and_counted(version, explore) -> None:
    learnt = (Allocation(3, at(DAY_ONE), {"control": 1, "green": 9_999}),)
    bandit = Bandit(explore=explore)
    theatre = a_theatre_of(a_served(bandit=bandit), allocations={"button": learnt})

    effects = theatre.play(a_person(), saw("green", allocation=version))

    assert [it.flag for it in only(effects, Expose)] == ["off_plan"]
    assert [it.why for it in only(effects, Misreport)] == ["unknown allocation"]


def test_of_a_plain_experiment_only_our_own_door_knows_allocations() -> None:
    theatre = a_theatre_of(a_served())
    person = next(p for p in map(a_person, range(1, 99)) if assigned(p, theatre) == "green")
    other = next(p for p in map(a_person, range(99, 200)) if assigned(p, theatre) == "green")

    ours = theatre.play(person, saw("green", is_ours=True, allocation=99))
    theirs = theatre.play(other, saw("green", allocation=99))

    assert [it.flag for it in only(ours, Expose)] == ["off_plan"]
    assert [it.flag for it in only(theirs, Expose)] == [""]


def test_the_event_is_behaviour_like_any_other() -> None:
    campaign = a_campaign("thanks", a_send(), trigger="Experiment Viewed")
    theatre = a_theatre_of(a_served(), campaigns=(campaign,))

    effects = theatre.play(a_person(), saw("green"))

    assert len(only(effects, Expose)) == 1
    assert [type(it).__name__ for it in effects if hasattr(it, "draft")] == ["SendMessage"]


def test_of_two_who_are_one_the_earliest_exposure_wins_and_the_conflict_is_told() -> None:
    theatre = a_theatre_of(a_served())
    numbers = iter(range(1, 200))
    early = next(p for p in map(a_person, numbers) if assigned(p, theatre) == "control")
    late = next(p for p in map(a_person, numbers) if assigned(p, theatre) == "green")
    theatre.play(early, saw("control", "2026-03-02T10:00Z"))
    theatre.play(late, saw("green", "2026-03-03T10:00Z"))

    effects = merge_people(
        late,
        early,
        program=theatre.program,
        segments=theatre.segments,
        now=at("2026-03-04T10:00Z"),
    )

    assert late.state.exposures["button"] == Exposed("control", 1, at("2026-03-02T10:00Z"))
    (told,) = [it for it in only(effects, Emit) if it.event == "Assignment Conflict"]
    assert told.properties == {"experiment": "button", "kept": "control", "dropped": "green"}


def test_devices_of_two_who_turn_out_to_be_one_do_not_conflict() -> None:
    theatre = a_theatre_of(a_served(unit="anonymous"))
    one, other = a_person(1), a_person(2)
    theatre.play(one, saw("control", ids={"anonymous": "phone"}))
    theatre.play(other, saw("green", ids={"anonymous": "tablet"}))

    effects = merge_people(
        one, other, program=theatre.program, segments=theatre.segments, now=at(DAY_ONE)
    )

    assert not only(effects, Emit)
    assert sorted(one.state.exposures) == ["button\nphone", "button\ntablet"]
