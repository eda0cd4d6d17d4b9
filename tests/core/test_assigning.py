"""Which variant and why: units, hands, holdouts, requirements, bandits; each draw on its own."""

import math
from collections import Counter
from itertools import product

import pytest
from scipy import stats

from engine.core.assigning import Asked, Ids, as_unit, decide, is_explored
from engine.core.model.campaigns import Allocation, Bandit, Experiment, Holdout, Variant
from engine.core.model.conditions import Comparison, Filter, TraitCondition
from engine.core.model.effects import Discard, Expose, Ghost, SendMessage
from engine.core.model.people import Exposed
from engine.core.model.steps import ExperimentStep
from engine.core.roster import roster_of
from engine.core.segments import for_program
from experiments.assignment import assign, in_growthbook_namespace, is_held_out
from experiments.flags import unit_text
from tests.core.build import (
    DAY_ONE,
    Theatre,
    a_campaign,
    a_person,
    a_program,
    a_send,
    an_event,
    at,
    only,
)

HALVES = (Variant("control", 1), Variant("green", 1))


def a_served(name="button", **changes):
    return Experiment(
        **{"name": name, "campaign": "", "variants": HALVES, "seed": f"{name}-seed", **changes}
    )


def a_house(*experiments, **changes):
    campaigns = changes.pop("campaigns", ())
    return a_program(
        *campaigns,
        experiments={(each.name, each.phase): each for each in experiments},
        phases={each.name: each.phase for each in experiments},
        **changes,
    )


NO_IDS = Ids()


def asked(program, person=None, *, ids=NO_IDS, when=DAY_ONE, **more):
    return Asked(
        program,
        roster_of(program),
        for_program(program),
        person or a_person(),
        at(when),
        ids=ids,
        **more,
    )


# --- units ----------------------------------------------------------------------------------------


def test_the_unit_decides_and_not_the_person() -> None:
    """The expected variant is that of the assignment library, asked directly."""
    program = a_house(a_served(unit="anonymous"))

    for visitor in map(str, range(200)):
        given = decide(asked(program, a_person(), ids=Ids(anonymous=visitor)), "button")
        expected = assign(
            visitor, seed="button-seed", variants=("control", "green"), weights=(1, 1)
        )
        assert (given.variant, given.unit) == (expected.variant, visitor)


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        ("user", "no user id"),
        ("anonymous", "no anonymous id"),
        ("traits.account_id", "no traits.account_id"),
    ],
)
def test_without_a_unit_nobody_is_assigned_and_the_reason_is_said(unit: str, why: str) -> None:
    given = decide(asked(a_house(a_served(unit=unit))), "button")

    assert (given.variant, given.probability, given.reason) == ("", 0.0, why)
    assert not given.is_exposing


def test_a_visitor_we_do_not_know_has_no_profile_to_draw() -> None:
    given = decide(asked(a_house(a_served()), a_person(0)), "button")

    assert given.reason == "no profile yet"


def test_everyone_of_an_account_sees_one_variant() -> None:
    program = a_house(a_served(unit="traits.account.id"))

    for account in range(1, 51):
        variants = {
            decide(
                asked(program, a_person(person, traits={"account": {"id": value}})), "button"
            ).variant
            for person, value in ((1, account), (2, float(account)), (3, str(account)))
        }
        assert len(variants) == 1, "7, 7.0 and '7' are one account"


NOBODY = (None, "", 0, 0.0, -0.0, False, True, [], {}, [1], math.nan, math.inf, 10**400)


@pytest.mark.parametrize("value", NOBODY)
def test_what_names_nobody_to_an_sdk_is_no_unit_of_a_journey_either(value: object) -> None:
    assert as_unit(value) is None
    assert unit_text(value) is None


@pytest.mark.parametrize("value", ["0", "a1", " ", "false", 7, 7.0, -2, 2.5, 2**53])
def test_a_journey_and_an_sdk_hash_the_same_text(value: object) -> None:
    assert as_unit(value) == unit_text(value)
    assert as_unit(value)


@pytest.mark.parametrize("value", [0, 0.0, "", None, False])
def test_a_profile_whose_account_is_nobody_gets_no_variant(value: object) -> None:
    program = a_house(a_served(unit="traits.account_id"))

    given = decide(asked(program, a_person(traits={"account_id": value})), "button")

    assert (given.variant, given.unit, given.lacks_unit) == ("", "", True)


def test_another_person_of_the_account_was_first() -> None:
    program = a_house(a_served(unit="traits.account_id", phase=2, seed="another"))
    person = a_person(traits={"account_id": "a1"})
    known = {("button", "a1"): Exposed("green", 1, 5)}

    given = decide(asked(program, person, shown=lambda *unit: known.get(unit)), "button")

    assert (given.variant, given.is_exposed) == ("green", True)


# --- hands, states, requirements ------------------------------------------------------------------


def test_a_forced_unit_gets_its_variant_and_is_marked() -> None:
    forced = {"qa": "green"}
    by_visitor = a_house(a_served(unit="anonymous", forced=forced, coverage=0.0))
    by_profile = a_house(a_served(forced=forced, coverage=0.0))
    tester = a_person()
    tester.profile.external_id = "qa"

    for given in (
        decide(asked(by_visitor, ids=Ids(anonymous="qa")), "button"),
        decide(asked(by_profile, tester), "button"),
        decide(asked(by_profile, ids=Ids(user="qa")), "button"),
    ):
        assert (given.variant, given.reason, given.is_exposing) == ("green", "forced", True)
    assert decide(asked(by_profile), "button").reason == "outside the coverage"


def test_of_a_stopped_one_everybody_gets_the_winner_and_nobody_is_exposed() -> None:
    won = decide(asked(a_house(a_served(state="stopped", winner="green"))), "button")
    undecided = decide(asked(a_house(a_served(state="stopped"))), "button")
    draft = decide(asked(a_house(a_served(state="draft"))), "button")

    assert (won.variant, won.is_exposing) == ("green", False)
    assert (undecided.variant, undecided.is_exposing) == ("", False)
    assert (draft.variant, draft.reason) == ("", "not started")


def test_a_stop_outranks_an_exposure() -> None:
    person = a_person()
    person.state.exposures["button"] = Exposed("control", 1, 1)

    given = decide(asked(a_house(a_served(state="stopped", winner="green")), person), "button")

    assert given.variant == "green", "its life is over, and so is the promise to keep a variant"


def test_who_was_exposed_keeps_the_variant_whatever_would_keep_them_out_now() -> None:
    person = a_person()
    person.state.exposures["button"] = Exposed("green", 1, 1)
    nobody = {"layer": ("layer:x", 0.0, 0.0001), "audience": "gone", "coverage": 0.0}

    given = decide(asked(a_house(a_served(phase=4, seed="new", **nobody)), person), "button")

    assert (given.variant, given.is_exposed) == ("green", True)


def test_without_stickiness_the_hash_alone_answers() -> None:
    served = a_served(is_sticky=False)
    for number in range(1, 41):
        person = a_person(number)
        person.state.exposures["button"] = Exposed("green", 1, 1)
        given = decide(asked(a_house(served), person), "button")
        fresh = decide(asked(a_house(served), a_person(number)), "button")

        assert (given.variant, given.is_exposed) == (fresh.variant, True)


def test_required_variants_open_the_way_and_no_others_do() -> None:
    first, second = a_served("first"), a_served("second", requires=(("first", "green"),))
    program = a_house(first, second)
    seen = Counter()
    for number in range(1, 401):
        one = decide(asked(program, a_person(number)), "first").variant
        two = decide(asked(program, a_person(number)), "second")
        assert (two.variant != "") == (one == "green")
        assert two.variant or two.reason == 'requires "green" in "first"'
        seen[two.variant] += 1

    # Half of 400 are let in, and half of those get each arm: five standard deviations are 43.
    assert abs(seen["green"] - 100) < 44
    assert abs(seen["control"] - 100) < 44


def test_a_circle_of_requirements_ends() -> None:
    one = a_served("one", requires=(("two", "green"),))
    two = a_served("two", requires=(("one", "green"),))

    assert decide(asked(a_house(one, two)), "one").variant == ""


def test_the_audience_and_what_the_client_says_are_asked() -> None:
    is_vip = TraitCondition(Filter(("vip",), (Comparison("is", True),)))
    where = (Filter(("country",), (Comparison("in", ("DE", "AT")),)),)
    program = a_house(a_served(audience="vip", where=where), segments={"vip": is_vip})
    vip, other = a_person(traits={"vip": True}), a_person()

    def reason(person, **more):
        return decide(asked(program, person, **more), "button").reason

    assert reason(other) == 'not in the segment "vip"'
    assert reason(vip, attributes={"country": "FR"}) == "its attributes do not match"
    assert reason(vip, attributes={}) == "its attributes do not match"
    assert reason(vip, attributes={"country": "AT"}) == ""
    assert reason(vip) == "", "nobody can say: a journey, or a report of what was seen"


def test_an_imported_experiment_goes_on_as_it_began() -> None:
    """GrowthBook's first hash and namespace; expected values by the assignment library."""
    it = a_served(unit="user", hash_version="1", is_imported=True, namespace=("pricing", 0.0, 0.4))
    program = a_house(it)
    n_inside = 0
    for user in map(str, range(500)):
        given = decide(asked(program, ids=Ids(user=user)), "button")
        inside = in_growthbook_namespace(user, namespace="pricing", start=0.0, end=0.4)
        expected = assign(
            user, seed="button-seed", variants=("control", "green"), weights=(1, 1), version=1,
            imported=True,
        )  # fmt: skip
        assert given.variant == (expected.variant if inside else "")
        n_inside += inside
    assert 150 < n_inside < 250


# --- bandits --------------------------------------------------------------------------------------


LEARNT = (
    Allocation(1, at("2026-03-03T10:00Z"), {"control": 8_000, "green": 2_000}),
    Allocation(2, at("2026-03-04T10:00Z"), {"control": 500, "green": 9_500}),
)


def a_bandit_house(**changes):
    it = a_served(bandit=Bandit(explore=0.1), **changes)
    return a_house(it, allocations={"button": LEARNT}), it


@pytest.mark.parametrize(
    ("when", "version", "share"),
    [(DAY_ONE, 0, 0.5), ("2026-03-03T10:00Z", 1, 0.2), ("2026-03-09T10:00Z", 2, 0.95)],
)
def test_a_bandit_draws_by_the_weights_of_the_instant_and_logs_their_probability(
    when: str, version: int, share: float
) -> None:
    program, it = a_bandit_house()
    got = Counter()
    for number in range(1, 4_001):
        given = decide(asked(program, a_person(number), when=when), "button")
        explored = is_explored(it, str(number))
        chance = 0.5 if explored or version == 0 else share
        expected = chance if given.variant == "green" else 1 - chance
        assert given.probability == pytest.approx(expected, abs=1e-12)
        assert given.allocation == (0 if explored else version)
        got[explored, given.variant] += 1

    explored = got[True, "green"] + got[True, "control"]
    rest = 4_000 - explored
    # Five standard deviations each: the slice is a tenth, and both sides are drawn as they say.
    assert abs(explored - 400) < 5 * (4_000 * 0.1 * 0.9) ** 0.5
    assert abs(got[True, "green"] - explored / 2) < 5 * (explored / 4) ** 0.5
    assert abs(got[False, "green"] - rest * share) < 5 * (rest * share * (1 - share)) ** 0.5


def test_a_bandits_coverage_grows_without_moving_anyone_whatever_it_has_learnt() -> None:
    some, _ = a_bandit_house(coverage=0.3)
    everyone, _ = a_bandit_house(coverage=1.0)
    n_covered = 0
    for number, when in product(range(1, 301), (DAY_ONE, "2026-03-05T10:00Z")):
        early = decide(asked(some, a_person(number), when=when), "button").variant
        late = decide(asked(everyone, a_person(number), when=when), "button").variant
        assert early in ("", late)
        n_covered += early != ""
    assert 100 < n_covered < 260


def test_an_exposed_unit_keeps_its_variant_when_the_bandit_has_learnt() -> None:
    program, _ = a_bandit_house()
    person = a_person()
    person.state.exposures["button"] = Exposed("control", 1, at(DAY_ONE))

    assert decide(asked(program, person, when="2026-03-09T10:00Z"), "button").variant == "control"


def test_a_step_logs_the_bandits_probability_and_version() -> None:
    it = Experiment("nudge", "cart", HALVES, "nudge-1", bandit=Bandit(explore=0.0))
    campaign = a_campaign("cart", ExperimentStep("fork", "nudge", {"control": None, "green": None}))
    program = a_house(it, campaigns=(campaign,), allocations={"nudge": LEARNT})

    effects = Theatre(program).play(a_person(), an_event("Product Added", "2026-03-05T10:00Z"))

    (expose,) = only(effects, Expose)
    chances = {"control": 0.05, "green": 0.95}
    assert expose.probability == pytest.approx(chances[expose.variant])
    assert (expose.allocation, expose.unit, expose.source, expose.flag) == (2, "", "journey", "")


# --- a step with another unit ---------------------------------------------------------------------


def test_a_step_may_draw_accounts_and_forces_whom_it_is_told_to() -> None:
    it = Experiment(
        "nudge", "cart", HALVES, "nudge-1", unit="traits.account_id", forced={"test-house": "green"}
    )
    step = ExperimentStep("fork", "nudge", {"control": None, "green": "mail"})
    theatre = Theatre(a_house(it, campaigns=(a_campaign("cart", step, a_send("mail")),)))
    colleagues = [a_person(number, traits={"account_id": "a7"}) for number in (1, 2)]

    shown = [only(theatre.play(each, an_event("Product Added", DAY_ONE)), Expose)[0]
             for each in colleagues]  # fmt: skip
    tester = a_person(3, traits={"account_id": "test-house"})
    (by_hand,) = only(theatre.play(tester, an_event("Product Added", DAY_ONE)), Expose)
    nobody = theatre.play(a_person(4), an_event("Product Added", DAY_ONE))

    assert [each.unit for each in shown] == ["a7", "a7"]
    assert len({each.variant for each in shown}) == 1
    assert (by_hand.variant, by_hand.flag) == ("green", "forced")
    assert not only(nobody, Expose)
    assert not only(nobody, SendMessage), "without an account: the control's path"
    (row,) = only(nobody, Discard)
    assert row.why == 'no traits.account_id, so not in the experiment "nudge"'
    assert list(colleagues[0].state.exposures) == ["nudge\na7"]


# --- levels ---------------------------------------------------------------------------------------


def test_a_served_experiment_is_kept_from_the_global_holdout_and_the_programmes() -> None:
    program = a_house(
        a_served(programme="loyalty"),
        global_holdout=Holdout(0.3, "holdout:global"),
        programme_holdouts={"loyalty": Holdout(0.3, "holdout:programme:loyalty")},
    )
    for number in range(1, 301):
        given = decide(asked(program, a_person(number)), "button")
        by_all = is_held_out(str(number), seed="holdout:global", share=0.3)
        by_some = is_held_out(str(number), seed="holdout:programme:loyalty", share=0.3)
        held = "global" if by_all else "programme:loyalty" if by_some else ""
        assert given.reason == (f"held out by {held}" if held else "")


def test_every_level_of_a_decision_draws_on_its_own() -> None:
    """Global, programme and campaign holdout, layer, coverage and arm: no two of them agree more
    often than chance, by the chi-square test of independence for each pair."""
    layer = ("layer:cart", 0.0, 0.5)
    it = Experiment("nudge", "cart", HALVES, "nudge-1", layer=layer)
    uncovered = Experiment("nudge", "cart", HALVES, "nudge-1", coverage=0.5)
    holdouts = {name: f"holdout:{name}" for name in ("global", "programme:p", "campaign:cart")}
    n = 8_000
    columns: dict[str, list[bool]] = {name: [] for name in (*holdouts, "layer", "covered", "arm")}
    in_layer_only, covered, arms = (a_house(each) for each in (it, uncovered, a_served("nudge")))
    for number in range(1, n + 1):
        person = a_person(number)
        for name, seed in holdouts.items():
            columns[name].append(is_held_out(str(number), seed=seed, share=0.5))
        columns["layer"].append(bool(decide(asked_of(in_layer_only, person), "nudge").variant))
        columns["covered"].append(bool(decide(asked_of(covered, person), "nudge").variant))
        columns["arm"].append(decide(asked_of(arms, person), "nudge").variant == "green")

    names = list(columns)
    for index, one in enumerate(names):
        assert abs(sum(columns[one]) - n / 2) < 5 * (n / 4) ** 0.5
        for other in names[:index]:
            table = Counter(zip(columns[one], columns[other], strict=True))
            counts = [[table[a, b] for b in (False, True)] for a in (False, True)]
            # 15 pairs: a false alarm of all of them together once in a hundred thousand seeds.
            assert stats.chi2_contingency(counts).pvalue > 1e-5 / 15, (one, other)


_SEGMENTS = {}


def asked_of(program, person):
    """`asked` with the program's segments compiled once."""
    if id(program) not in _SEGMENTS:
        _SEGMENTS[id(program)] = (program, for_program(program))
    return Asked(program, roster_of(program), _SEGMENTS[id(program)][1], person, at(DAY_ONE))


def test_nested_holdouts_in_a_journey_hold_by_the_outermost() -> None:
    campaign = a_campaign(
        "cart", a_send("mail"), holdout=Holdout(0.4, "holdout:campaign:cart"), programme="p"
    )
    program = a_house(
        campaigns=(campaign,),
        global_holdout=Holdout(0.4, "holdout:global"),
        programme_holdouts={"p": Holdout(0.4, "holdout:programme:p")},
    )
    theatre, levels = Theatre(program), ("global", "programme:p", "campaign:cart")
    labels = {"campaign:cart": "cart"}
    for number in range(1, 201):
        effects = theatre.play(a_person(number), an_event("Product Added", DAY_ONE))
        holder = next(
            (it for it in levels if is_held_out(str(number), seed=f"holdout:{it}", share=0.4)), ""
        )
        ghosts = only(effects, Ghost)
        assert [it.held_by for it in ghosts] == ([labels.get(holder, holder)] if holder else [])
        n_told = len(levels) if not holder else levels.index(holder) + 1
        assert len(only(effects, Expose)) == n_told, "exposed to every level that had a say"
