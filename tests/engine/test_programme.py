"""Everything against silence, and each part beside it, on both databases."""

import json
import random

import msgspec
import pytest

from campaigns.metrics import MetricDefinition
from engine.core.errors import UsageError
from engine.core.journeys.holdouts import HELD_OUT, TREATED
from engine.core.model.campaigns import (
    Bandit,
    Campaign,
    EventTrigger,
    Experiment,
    Holdout,
    Program,
    Variant,
)
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY
from engine.readout.ages import age_sums
from engine.readout.assigned import exposed_units
from engine.readout.impacts import PERIOD
from engine.readout.metric_sums import Unit
from engine.readout.overlaps import interaction_findings
from engine.readout.programme import ProgrammeFindings, programme_findings
from engine.readout.programme_words import (
    interactions_json,
    interactions_text,
    programme_json,
    programme_text,
)
from engine.readout.studies import Study, _holdout_study
from engine.store import bulk
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.outcomes import MESSAGE_COLUMNS
from experiments.programme.novelty import novelty
from tests.engine.test_readout import (
    START,
    Happened,
    a_metric,
    a_study,
    keep_events,
    keep_exposures,
)

NOW = START + 90 * DAY
SPEND = a_metric(name="spend", title="Spend", measure="sum", value=("properties", "revenue"))
SHARES = {HELD_OUT: 1, TREATED: 4}


def a_holdout(
    kind: str = "global holdout", name: str = "holdout:global", campaign: str = ""
) -> Study:
    return a_study(SPEND, name=name, kind=kind, control=HELD_OUT, weights=SHARES, campaign=campaign)


def a_program(*campaigns: str, **experiments: Experiment) -> Program:
    trigger = EventTrigger(EventMatch("Product Added"))
    return Program(
        1,
        "UTC",
        {name: Campaign(name, "v1", trigger, {}, None) for name in campaigns},
        experiments={(name, 1): it for name, it in experiments.items()},
    )


def people(n: int, *, first: int = 1, spread: int = 40) -> list[Unit]:
    """Every fifth is held out; they come in over `spread` days."""
    return [
        Unit(first + i, TREATED if i % 5 else HELD_OUT, START + (i * spread // n) * DAY)
        for i in range(n)
    ]


def purchases(units: list[Unit], *, seed: int = 1, lift: float = 5.0) -> list[Happened]:
    rng = random.Random(seed)
    bought: list[Happened] = []
    for unit in units:
        for _ in range(rng.randrange(4)):
            at = unit.at + rng.randrange(-20 * DAY, NOW - unit.at)
            extra = lift if unit.variant != HELD_OUT and at > unit.at else 0.0
            bought.append(
                (unit.profile_id, "Order Completed", at, {"revenue": rng.uniform(5, 60) + extra})
            )
    return bought


def read(
    database: Database,
    studies: list[Study],
    program: Program,
    metric: MetricDefinition = SPEND,
    as_of: int = NOW,
) -> ProgrammeFindings:
    with database.read() as connection:
        return programme_findings(connection, studies, program, metric, as_of=as_of)


def test_the_total_is_a_count_by_hand_over_the_whole_time(database: Database) -> None:
    units = people(100)
    events = purchases(units)
    keep_exposures(database, units, name="holdout:global")
    keep_events(database, events)

    found = read(database, [a_holdout()], a_program())

    spent = {unit.profile_id: 0.0 for unit in units}
    exposed = {unit.profile_id: unit.at for unit in units}
    for profile, _, at, properties in events:
        if at > exposed[profile]:
            spent[profile] += float(properties["revenue"])  # type: ignore[arg-type]
    sides = {
        side: [spent[unit.profile_id] for unit in units if unit.variant == side] for side in SHARES
    }
    means = {side: sum(values) / len(values) for side, values in sides.items()}
    assert found.measured is not None
    assert (found.measured.n_held_out, found.measured.n_treated) == (20, 80)
    assert found.measured.total.estimate == pytest.approx(80 * (means[TREATED] - means[HELD_OUT]))


def test_periods_of_the_same_people_add_up_and_tenure_counts_only_who_lived_it(
    database: Database,
) -> None:
    units = people(100, spread=1)  # all on the first day
    keep_exposures(database, units, name="holdout:global")
    keep_events(database, purchases(units))

    found = read(database, [a_holdout()], a_program())

    assert found.measured is not None
    periods = [it.impact for it in found.by_period if it.impact is not None]
    assert len(periods) == 4  # 90 days in spans of 28
    total = sum(it.total.estimate or 0.0 for it in periods)
    assert total == pytest.approx(found.measured.total.estimate)
    assert [it.label for it in found.by_tenure][:2] == ["days 1 to 28", "days 29 to 56"]
    assert len(found.by_tenure) == (NOW - START) // PERIOD
    # On one day all have the same tenure, so both ways of cutting time agree.
    first = found.by_tenure[0].impact
    assert first is not None
    assert first.total.estimate == pytest.approx(periods[0].total.estimate)


def test_late_comers_are_no_part_of_a_tenure_they_have_not_lived(database: Database) -> None:
    early, late = people(40, spread=1), people(40, first=500, spread=1)
    late = [Unit(it.profile_id, it.variant, NOW - 10 * DAY) for it in late]
    keep_exposures(database, [*early, *late], name="holdout:global")
    keep_events(database, purchases([*early, *late]))

    found = read(database, [a_holdout()], a_program())

    first = found.by_tenure[0].impact
    assert first is not None
    assert first.n_held_out + first.n_treated == 40


def test_the_window_and_the_cap_of_a_metric_do_not_cut_a_total(database: Database) -> None:
    units = people(20, spread=1)
    keep_exposures(database, units, name="holdout:global")
    last = NOW - DAY
    keep_events(
        database,
        [(it.profile_id, "Order Completed", last, {"revenue": it.profile_id}) for it in units],
    )
    metric = a_metric(
        name="spend", measure="sum", value=("properties", "revenue"), within=DAY, winsorize=0.5
    )

    found = read(database, [a_holdout()], a_program(), metric)

    assert found.measured is not None
    treated = [it.profile_id for it in units if it.variant == TREATED]
    assert found.measured.treated == pytest.approx(sum(treated) / len(treated))
    assert any("own window of 1 days does not apply" in note for note in found.notes)
    assert any("Nothing is capped" in note for note in found.notes)


def test_campaigns_are_parts_by_their_holdout_or_by_their_experiments(database: Database) -> None:
    units = people(200)
    arms = [
        Unit(it.profile_id, "email" if i % 2 else "control", it.at) for i, it in enumerate(units)
    ]
    keep_exposures(database, units, name="holdout:global")
    keep_exposures(database, units, name="holdout:cart")
    keep_exposures(database, arms, name="nudge")
    keep_exposures(database, arms, name="inside")
    keep_events(database, purchases(units))
    studies = [
        a_holdout(),
        a_holdout("campaign holdout", "holdout:cart", "cart"),
        a_study(SPEND, name="nudge", campaign="win-back"),
        a_study(SPEND, name="inside", campaign="cart"),
    ]

    found = read(database, studies, a_program("cart", "win-back", "welcome"))

    assert [it.name for it in found.parts] == ["holdout:cart", "nudge: email"]
    assert found.unmeasured == ("welcome",)
    assert found.reconciliation is not None
    raw = sum(it.impact.total.estimate or 0.0 for it in found.parts)
    assert found.reconciliation.raw.estimate == pytest.approx(raw)
    assert [it.n_units for it in found.reconciliation.shares] == [160, 100]


def test_a_winner_also_counts_those_it_reached_after_its_experiment(database: Database) -> None:
    units = people(100, spread=10)
    arms = [
        Unit(it.profile_id, "email" if i % 2 else "control", it.at) for i, it in enumerate(units)
    ]
    keep_exposures(database, units, name="holdout:global")
    keep_exposures(database, arms, name="nudge")
    keep_events(database, purchases(units))
    since = [(900 + i, START + 50 * DAY) for i in range(30)] + [(1, START + 60 * DAY)]
    with database.write() as connection:
        enroll(connection, since)
    winner = Experiment(
        "nudge", "win-back", (Variant("control", 1), Variant("email", 1)), "seed", 1,
        state="stopped", winner="email",
    )  # fmt: skip
    studies = [a_holdout(), a_study(SPEND, name="nudge", campaign="win-back")]

    found = read(database, studies, a_program("win-back", nudge=winner))

    (part,) = found.parts
    assert part.n_since == 30  # the one who was in the experiment is not counted twice
    assert part.threshold == pytest.approx(1.96, abs=0.001)
    assert found.reconciliation is not None
    assert found.reconciliation.shares[0].n_units == 50 + 30
    assert found.reconciliation.curse > 0


def test_a_bandit_is_neither_a_part_nor_crossed_by_its_plain_means(database: Database) -> None:
    first, second, events = crossed(100, together=0.0)
    keep_exposures(database, people(100), name="holdout:global")
    keep_exposures(database, first, name="nudge")
    keep_exposures(database, second, name="banner")
    keep_events(database, events)
    studies = [
        a_holdout(),
        a_study(SPEND, name="nudge", campaign="win-back", bandit=Bandit()),
        a_study(SPEND, name="banner", campaign="welcome"),
    ]

    found = read(database, studies, a_program("win-back", "welcome"))
    with database.read() as connection:
        pairs = interaction_findings(connection, studies, as_of=NOW)

    assert [it.name for it in found.parts] == ["banner: email"]
    assert found.unmeasured == ("win-back",)
    assert pairs == ()


def enroll(connection: Connection, entered: list[tuple[int, int]]) -> None:
    columns = (
        "id", "profile_id", "campaign", "version", "key", "status", "entered_at", "step_at",
        "due_at", "visit", "trigger_seq", "trigger", "variants", "held_by", "reason", "memory",
    )  # fmt: skip
    rows = [
        (number, profile, "win-back", "v1", "", "done", at, at, at, 1, 1, "{}", "{}", "", "", "")
        for number, (profile, at) in enumerate(entered, start=1)
    ]
    bulk.insert(connection, "enrollment", columns, rows)


def test_programmes_are_added_up_beside_the_whole(database: Database) -> None:
    units = people(200)
    keep_exposures(database, units, name="holdout:global")
    keep_exposures(database, [it for it in units if it.variant == TREATED][:100], name="x")
    inner = [
        Unit(it.profile_id, HELD_OUT if i % 5 == 0 else TREATED, it.at)
        for i, it in enumerate(it for it in units if it.variant == TREATED)
    ]
    keep_exposures(database, inner, name="holdout:programme:retention")
    keep_events(database, purchases(units))
    studies = [a_holdout(), a_holdout("programme holdout", "holdout:programme:retention")]

    found = read(database, studies, a_program())

    assert found.additivity is not None
    assert found.additivity.whole == pytest.approx(found.measured.total.estimate)  # type: ignore[union-attr]
    assert found.additivity.interaction.is_bounded


def test_a_message_to_the_silent_is_a_leak_unless_it_had_to_go_out(database: Database) -> None:
    units = people(50, spread=1)
    keep_exposures(database, units, name="holdout:global")
    keep_events(database, purchases(units))
    held = [it.profile_id for it in units if it.variant == HELD_OUT]
    later = START + 5 * DAY
    keep_messages(
        database,
        [
            (held[0], "sent", 1, later),
            (held[1], "ghost", 1, later),
            (held[2], "sent", 0, later),  # transactional
            (held[3], "sent", 1, START - DAY),  # before the exposure
            (units[1].profile_id, "sent", 1, later),
        ],
    )

    found = read(database, [a_holdout()], a_program())

    assert found.contamination is not None
    assert found.contamination.leaked == 1
    assert found.contamination.variants[TREATED].n_touched == 1


def keep_messages(database: Database, messages: list[tuple[int, str, int, int]]) -> None:
    rows = []
    for number, (profile, status, lane, at) in enumerate(messages, start=1):
        given = dict.fromkeys(MESSAGE_COLUMNS, "") | {
            "id": number, "profile_id": profile, "enrollment_id": number, "campaign": "cart",
            "step": "remind", "visit": 1, "status": status, "at": at, "due_at": at,
            "expires_at": at, "context": "{}", "lane": lane,
        }  # fmt: skip
        rows.append(tuple(given[name] for name in MESSAGE_COLUMNS))
    with database.write() as connection:
        bulk.insert(connection, "message", MESSAGE_COLUMNS, rows)


def test_lost_exposures_withhold_the_whole(database: Database) -> None:
    keep_exposures(database, [it for it in people(600) if it.profile_id % 7], name="holdout:global")
    many_held = [Unit(10_000 + i, HELD_OUT, START) for i in range(200)]
    keep_exposures(database, many_held, name="holdout:global")

    found = read(database, [a_holdout()], a_program())

    assert found.measured is None
    assert "sample ratio mismatch" in found.why_not


def test_who_saw_another_variant_than_assigned_is_no_unit(database: Database) -> None:
    keep_exposures(database, people(10), name="nudge")
    with database.write() as connection:
        connection.execute("UPDATE exposure SET flag = 'forced' WHERE profile_id = 1")
    conflict = {"experiment": "nudge", "kept": TREATED, "dropped": HELD_OUT}
    keep_events(database, [(2, "Assignment Conflict", START, conflict)])

    with database.read() as connection:
        found = exposed_units(connection, a_holdout(name="nudge"), as_of=NOW)

    assert [it.profile_id for it in found] == list(range(3, 11))


def test_without_a_holdout_or_units_there_is_a_reason(database: Database) -> None:
    nothing = read(database, [], a_program("cart"))
    keep_exposures(database, people(4), name="holdout:global")
    few = read(database, [a_holdout()], a_program())

    assert "there is no global holdout" in nothing.why_not
    assert nothing.unmeasured == ("cart",)
    assert "1 held out and 3 treated" in few.why_not
    with pytest.raises(UsageError, match="does not add up"):
        read(database, [], a_program(), a_metric(measure="quantile"))


def test_less_is_better_turns_the_signs_of_whole_and_parts_alike(database: Database) -> None:
    units = people(200)
    keep_exposures(database, units, name="holdout:global")
    keep_exposures(database, units, name="holdout:cart")
    keep_events(database, purchases(units))
    studies = [a_holdout(), a_holdout("campaign holdout", "holdout:cart", "cart")]
    worse = a_metric(name="spend", measure="sum", value=("properties", "revenue"), better="lower")

    higher = read(database, studies, a_program("cart")).reconciliation
    lower = read(database, studies, a_program("cart"), worse).reconciliation

    assert higher is not None
    assert lower is not None
    assert lower.raw.estimate == pytest.approx(-(higher.raw.estimate or 0.0))
    assert lower.gap.estimate == pytest.approx(-(higher.gap.estimate or 0.0))
    assert lower.measured.ci_lower == pytest.approx(-(higher.measured.ci_upper or 0.0))


def test_findings_are_told_in_words_and_as_json(database: Database) -> None:
    units = people(200)
    keep_exposures(database, units, name="holdout:global")
    keep_exposures(database, units, name="holdout:cart")
    keep_events(database, purchases(units, lift=40.0))
    studies = [a_holdout(), a_holdout("campaign holdout", "holdout:cart", "cart")]
    found = read(database, studies, a_program("cart", "welcome"))

    text, told = programme_text(found), programme_json(found)

    assert "measured      +" in text
    assert "sum of parts  +" in text
    assert "agrees with the sum of its parts" in text
    assert "not measured  welcome" in text
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["measured"]["treated_units"] == 160
    assert told["sum_of_parts"]["shares"][0]["name"] == "holdout:cart"
    assert programme_text(read(database, [], a_program())).startswith("Spend, everything")


# --- pairs of experiments ------------------------------------------------------------------------


def crossed(n: int, *, together: float) -> tuple[list[Unit], list[Unit], list[Happened]]:
    first = [Unit(i, "email" if i % 2 else "control", START) for i in range(1, n + 1)]
    second = [
        Unit(i, "email" if i // 2 % 2 else "control", START + 3 * DAY) for i in range(1, n + 1)
    ]
    rng = random.Random(5)
    events: list[Happened] = []
    for one, other in zip(first, second, strict=True):
        both = one.variant == other.variant == "email"
        amount = rng.uniform(0, 20) + (together if both else 0.0)
        events += [
            (one.profile_id, "Order Completed", START + DAY, {"revenue": 1_000}),  # too early
            (one.profile_id, "Order Completed", START + 5 * DAY, {"revenue": amount}),
        ]
    return first, second, events


@pytest.mark.parametrize("together", [0.0, 15.0])
def test_experiments_on_the_same_people_are_crossed_from_the_later_exposure_on(
    database: Database, together: float
) -> None:
    first, second, events = crossed(200, together=together)
    keep_exposures(database, first, name="nudge")
    keep_exposures(database, second, name="banner")
    keep_events(database, events)
    studies = [
        a_study(SPEND, name="nudge", campaign="cart"),
        a_study(SPEND, name="banner", campaign="welcome"),
    ]

    with database.read() as connection:
        (found,) = interaction_findings(connection, studies, as_of=NOW)

    assert (found.first, found.second, found.metric, found.n) == ("nudge", "banner", "spend", 200)
    assert found.is_independent
    assert found.interacts is (together > 0)
    (contrast,) = found.contrasts
    assert contrast.difference.estimate == pytest.approx(together, abs=5)
    text = interactions_text([found], alpha=0.05)
    assert ("they interact" in text) is (together > 0)
    assert json.dumps(interactions_json([found]), allow_nan=False)


def test_pairs_that_cannot_meet_are_not_crossed(database: Database) -> None:
    first, second, events = crossed(100, together=0.0)
    keep_exposures(database, first, name="nudge")
    keep_exposures(database, second, name="banner")
    keep_exposures(database, people(100), name="holdout:cart")
    keep_events(database, events)
    nested = [
        a_study(SPEND, name="nudge", campaign="cart"),
        a_holdout("campaign holdout", "holdout:cart", "cart"),
        a_holdout(),
    ]
    strangers = [a_study(SPEND, name="nudge"), a_study(SPEND, name="elsewhere", campaign="b")]

    with database.read() as connection:
        found = [
            interaction_findings(connection, studies, as_of=NOW) for studies in (nested, strangers)
        ]
        early = interaction_findings(
            connection,
            [a_study(SPEND, name="nudge", campaign="a"), a_study(SPEND, name="banner")],
            as_of=START + 4 * DAY,
        )

    assert found == [(), ()]
    assert [it.n for it in early] == [0]  # their windows are open
    assert "no two experiments" in interactions_text((), alpha=0.05)


# --- time since exposure -------------------------------------------------------------------------


def test_an_effect_that_fades_is_seen_on_the_fixed_cohort(database: Database) -> None:
    units = [
        Unit(i, "email" if i % 2 else "control", START + (i % 28) * DAY) for i in range(1, 801)
    ]
    rng = random.Random(8)
    events: list[Happened] = []
    for unit in units:
        for week in range(4):
            extra = 12.0 - 4 * week if unit.variant == "email" else 0.0
            at = unit.at + week * 7 * DAY + rng.randrange(1, 7 * DAY)
            amount = {"revenue": rng.uniform(0, 10) + extra}
            events.append((unit.profile_id, "Order Completed", at, amount))
    young = [Unit(900 + i, "email" if i % 2 else "control", NOW - 5 * DAY) for i in range(50)]
    keep_events(database, events)
    study = a_study(SPEND)

    with database.read() as connection:
        sums, days = age_sums(
            connection, study, [*units, *young], SPEND, as_of=NOW, ages=4, length=7 * DAY
        )
    found = novelty(sums["control"], sums["email"], ages=days)

    assert (found.n_control, found.n_treatment) == (400, 400)  # the young are not old enough
    assert [it.estimate for it in found.effects] == pytest.approx([12, 8, 4, 0], abs=1)
    assert found.slope.interval.estimate == pytest.approx(-4 / 7, abs=0.06)


@pytest.mark.parametrize("names", [("cart",), ("cart", "welcome")])
def test_a_leak_of_the_global_holdout_is_seen_however_many_campaigns_there_are(
    database: Database, names: tuple[str, ...]
) -> None:
    units = people(50, spread=1)
    keep_exposures(database, units, name="holdout:global")
    keep_events(database, purchases(units))
    keep_messages(database, [(it.profile_id, "sent", 1, it.at + DAY) for it in units])
    members = [
        msgspec.structs.replace(it, goal="spend") for it in a_program(*names).campaigns.values()
    ]

    (study,) = _holdout_study(
        a_program(*names), {"spend": SPEND}, members, "global", Holdout(0.2, "s"),
        "Every campaign against silence", "global holdout",
    )  # fmt: skip
    found = read(database, [study], a_program(*names))

    assert found.contamination is not None
    assert found.contamination.leaked == 10
    assert found.contamination.variants[TREATED].n_touched == 40
