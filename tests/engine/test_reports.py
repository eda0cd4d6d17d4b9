"""A report of a study: its frozen plan, who was left out, days, segments, receipts, orders."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from engine.core.errors import UsageError
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY
from engine.readout.exposures import POPULATIONS, require_before_treatment
from engine.readout.findings import among_reachable, read_out
from engine.readout.reports import as_json, as_text, page, report_schema, sections_of
from engine.readout.studies import studies
from engine.store import bulk
from engine.store.database import Database
from experiments.analysis.decision import Choice
from experiments.analysis.plan import canonical_json
from tests.engine.commanding import (  # noqa: F401
    Antiphon,
    _no_database_of_the_developer,
    antiphon,
    live,
    shop,
)
from tests.engine.test_bandits import sqlite_shop  # noqa: F401
from tests.engine.test_readout import (
    AS_OF,
    START,
    Unit,
    a_metric,
    a_study,
    arms,
    keep_events,
    keep_exposures,
)


def keep_profiles(database: Database, traits: dict[int, dict[str, object]]) -> None:
    rows = [
        (i, f"u{i}", START, "UTC", "workspace", json.dumps(each), "{}", "{}", "{}")
        for i, each in traits.items()
    ]
    columns = (
        "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed", "addresses",
        "consent",
    )  # fmt: skip
    with database.write() as connection:
        bulk.insert(connection, "profile", columns, rows)


def keep_phase(database: Database, plan: dict[str, object], *, started_at: int = START) -> str:
    text = canonical_json(plan)
    row = ("nudge", 1, "seed", "digest", "{}", started_at, text, "hash")
    columns = (
        "experiment", "phase", "seed", "digest", "definition", "started_at", "plan", "plan_hash",
    )  # fmt: skip
    with database.write() as connection:
        bulk.insert(connection, "experiment_phase", columns, [row])
    return text


def keep_flags(database: Database, flag: str, units: list[Unit]) -> None:
    keep_exposures(database, units)
    with database.write() as connection:
        for it in units:
            connection.execute(
                "UPDATE exposure SET flag = ? WHERE profile_id = ?", (flag, it.profile_id)
            )


def a_frozen_plan(*metrics, **changes):
    import msgspec

    return json.loads(
        canonical_json(
            {
                "name": "nudge", "phase": 1, "control": "control",
                "weights": {"control": 1, "email": 1}, "unit": "profile", "bandit": None,
                "roles": {"primary": [it.name for it in metrics], "secondary": [],
                          "guardrails": []},
                "metrics": {it.name: msgspec.to_builtins(it) for it in metrics},
                "method": "fixed", "alpha": 0.05, "correction": "holm", **changes,
            }
        )
    )  # fmt: skip


def a_shop(database: Database, *, n: int = 240, seed: int = 3) -> None:
    """Units over four weeks of whom those written to order more often; two countries."""
    rng = random.Random(seed)
    units, events, traits = [], [], {}
    for i in range(1, n + 1):
        variant = "control" if i % 2 else "email"
        at = START + (i % 28) * DAY + i
        units.append(Unit(i, variant, at))
        traits[i] = {"country": "DE" if i % 3 else "FR", "secret": "blind:00ff"}
        for _ in range(rng.choice([0, 1, 2]) + (rng.random() < 0.6) * (variant == "email") * 2):
            events.append((i, "Order Completed", at + rng.randrange(1, 14 * DAY), {}))
    keep_profiles(database, traits)
    keep_exposures(database, units)
    keep_events(database, events)


def read(database: Database, study, *, as_of: int = AS_OF):
    with database.read() as connection:
        return read_out(connection, study, as_of=as_of)


# --- the plan -------------------------------------------------------------------------------------


def test_a_study_is_read_by_its_frozen_plan_and_the_edit_is_shown(database: Database) -> None:
    a_shop(database)
    kept = keep_phase(database, a_frozen_plan(a_metric(), alpha=0.01))
    late = a_metric(name="late", title="Late", within=7 * DAY)

    found = read(database, a_study(a_metric(), late, alpha=0.2))

    assert found.readout is not None
    record = found.readout.plan
    assert record.is_frozen
    assert json.loads(kept) == record.content
    assert found.readout.alpha == 0.01
    shown = {it.what: (it.frozen, it.now) for it in record.changes}
    assert shown["alpha"] == ("0.01", "0.2")
    assert shown["metrics late"] == ("nothing", "measured")
    assert found.readout.of("late", "email").metric.role == "exploratory"
    assert found.readout.of("orders", "email").metric.role == "primary"


def test_a_metric_is_measured_as_planned_though_its_file_has_changed(database: Database) -> None:
    keep_exposures(database, arms(40))
    keep_events(database, [(i, "Order Completed", START + 10 * DAY, {}) for i in range(1, 21)])
    keep_phase(database, a_frozen_plan(a_metric(within=14 * DAY)))

    found = read(database, a_study(a_metric(within=3 * DAY)))

    # Within the planned 14 days half of each arm ordered; within today's 3 days nobody.
    assert found.readout is not None
    compared = found.readout.of("orders", "email")
    assert (compared.control, compared.treatment) == (0.5, 0.5)
    assert any(it.what == "metrics orders within" for it in found.readout.plan.changes)


def test_a_metric_taken_out_of_the_files_is_still_read(database: Database) -> None:
    a_shop(database)
    spend = a_metric(
        name="spend", measure="sum", value=("properties", "revenue"),
        match=EventMatch("Order Completed"),
    )  # fmt: skip
    keep_phase(database, a_frozen_plan(spend, a_metric()))

    found = read(database, a_study(a_metric()))

    assert found.readout is not None
    assert [it.name for it in found.readout.metrics] == ["spend", "orders"]


def test_before_its_end_the_fixed_method_says_when_and_afterwards_reads_who_came_in_time(
    database: Database,
) -> None:
    a_shop(database)
    ends = datetime.fromtimestamp((START + 14 * DAY) / 1e6, UTC)
    study = a_study(a_metric(), analysis={"ends_at": ends.isoformat()})

    early = read(database, study, as_of=START + 20 * DAY)
    due = read(database, study, as_of=START + 28 * DAY)
    later = read(database, study, as_of=AS_OF)

    assert early.readout is not None
    assert early.readout.decision.choice is Choice.WAIT
    assert "numbers come on" in early.readout.awaited
    assert early.readout.comparisons == ()
    assert "in 8 days" in early.readout.awaited
    # Read once: whoever came after the end is left out, so later readings are the same one.
    assert due.readout.comparisons == later.readout.comparisons != ()
    why = [it.why for it in later.readout.quality.excluded]
    assert why == ["came after the planned end"]


def test_a_sample_planned_without_an_end_is_the_first_units_to_come(database: Database) -> None:
    a_shop(database)
    study = a_study(a_metric(), analysis={"planned_sample": 100})

    found = read(database, study)

    assert sum(found.n.values()) == 100
    assert found.readout.quality.excluded[0].why == "came after the planned sample was full"
    assert found.readout.awaited == ""


def test_opens_decide_nothing_unless_the_plan_says_so(database: Database) -> None:
    a_shop(database)
    opens = a_metric(name="opens", title="Opened", match=EventMatch("Message Opened"))

    shy = read(database, a_study(opens, a_metric()))
    bold = read(database, a_study(opens, a_metric(), allows_opens=True))

    assert shy.readout.of("opens", "email").metric.role == "exploratory"
    assert shy.readout.decision.metric == "Orders"
    assert any("machines" in note for note in shy.readout.notes)
    assert bold.readout.of("opens", "email").metric.role == "primary"


# --- who, and what else ---------------------------------------------------------------------------


def test_who_is_left_out_is_counted_with_the_reason_per_variant(database: Database) -> None:
    keep_exposures(database, arms(40))
    keep_flags(database, "forced", arms(6, first=100))
    keep_flags(database, "off_plan", arms(4, first=200))
    keep_flags(database, "held_out", arms(2, first=250))
    keep_exposures(database, arms(8, first=300, at=AS_OF - DAY))
    conflict = {"experiment": "nudge", "kept": "email", "dropped": "control"}
    keep_events(database, [(1, "Assignment Conflict", START + DAY, conflict)])

    found = read(database, a_study(a_metric()))

    left = {it.why: dict(it.n_by_variant) for it in found.readout.quality.excluded}
    assert left == {
        "were given their variant by hand": {"control": 3, "email": 3},
        "are held out, and a client that could not know showed them a variant": {
            "control": 1,
            "email": 1,
        },
        "saw another variant than the one assigned": {"control": 2, "email": 2},
        "turned out to be one person with two profiles under different variants": {"email": 1},
        "wait for their 14 days to be over": {"control": 4, "email": 4},
    }
    assert sum(found.n.values()) == 39
    assert all(it.of == 60 for it in found.readout.quality.excluded)


def test_a_report_has_its_days_segments_populations_and_stake(database: Database) -> None:
    a_shop(database)
    study = a_study(
        a_metric(), method="sequential", campaign="win-back",
        analysis={"dimensions": ["traits.country", "traits.secret"], "planned_sample": 240},
    )  # fmt: skip

    readout = read(database, study).readout

    (track,) = readout.over_time
    assert len(track.moments) > 20
    assert track.moments[-1].n == 240
    assert track.moments[-1].lift_rel.estimate == pytest.approx(
        readout.of("orders", "email").effect.lift_rel.estimate, rel=1e-9
    )
    (part,) = readout.segments
    assert {it.name for it in part.dimensions} == {"traits.country"}  # the sealed one tells nobody
    assert {level.level for level in part.dimensions[0].levels} == {"DE", "FR"}
    weeks = [name for name in readout.quality.populations if "week of" in name]
    assert len(weeks) == 5
    assert readout.decision.stake is not None
    assert readout.wear[0].variant == "email"


def test_the_effect_on_those_reached_is_given_and_comparing_them_is_refused(
    database: Database,
) -> None:
    a_shop(database)
    columns = (
        "id", "profile_id", "enrollment_id", "campaign", "version", "step", "visit", "variant",
        "channel", "topic", "template", "template_hash", "status", "reason", "held_by", "at",
        "due_at", "expires_at",
    )  # fmt: skip
    sent = [
        (i, i, i, "win-back", "v", "letter", 1, "email", "email", "offers", "t", "h",
         "sent" if i % 4 else "dropped", "", "", AS_OF - DAY, AS_OF, AS_OF)
        for i in range(2, 241, 2)
    ]  # fmt: skip
    with database.write() as connection:
        bulk.insert(
            connection,
            "message",
            _all_columns(connection, columns),
            _filled(connection, columns, sent),
        )

    study = a_study(a_metric(), campaign="win-back", sends=frozenset({"letter"}))
    readout = read(database, study).readout

    (found,) = readout.compliers
    itt = readout.of("orders", "email").unadjusted.lift_abs.estimate
    assert found.reached_share == pytest.approx(0.5)
    assert found.effect.estimate == pytest.approx(itt / 0.5, rel=1e-9)
    for population in ("openers", "clicked", "delivered"):
        with pytest.raises(UsageError, match="CACE"):
            require_before_treatment(population)
    with pytest.raises(UsageError, match="allowed are exposed, reachable"):
        require_before_treatment("everybody")
    for population in POPULATIONS:
        require_before_treatment(population)


def test_who_could_be_reached_is_refused_without_the_gates_answers(database: Database) -> None:
    a_shop(database)
    found = read(database, a_study(a_metric()))

    with pytest.raises(UsageError, match="not known apart"):
        among_reachable(found)


def test_a_mismatch_is_shown_again_once_its_cause_is_known(database: Database) -> None:
    keep_exposures(database, [Unit(i, "control", START) for i in range(1, 301)])
    keep_exposures(database, [Unit(i, "email", START) for i in range(1001, 1101)])
    keep_events(database, [(i, "Order Completed", START + DAY, {}) for i in range(1, 60)])

    off = read(database, a_study(a_metric())).readout
    state = {"acknowledged": [{"phase": 1, "cause": "the letter's page was down", "at": AS_OF}]}
    with database.write() as connection:
        connection.execute(
            "INSERT INTO operation (noun, name, state, why, at) VALUES ('experiment', 'nudge', "
            "?, '', ?)",
            (json.dumps(state), AS_OF),
        )
    known = read(database, a_study(a_metric())).readout

    assert off.is_withheld
    assert not known.is_withheld
    assert known.quality.acknowledged == "the letter's page was down"
    assert "the letter's page was down" in as_text(
        read(database, a_study(a_metric())), markdown=False
    )


# --- the same bytes, the published shape ----------------------------------------------------------


def test_reading_again_gives_the_same_bytes_and_other_data_another_hash(
    database: Database,
) -> None:
    a_shop(database)
    study = a_study(a_metric(covariate=30 * DAY, winsorize=0.9), campaign="win-back",
                    method="sequential")  # fmt: skip

    def faces():
        found = read(database, study)
        return (
            json.dumps(as_json(found)), as_text(found, markdown=True),
            page(sections_of(found), title="t"),
        )  # fmt: skip

    first = faces()
    assert faces() == first
    before = read(database, study).readout.provenance
    keep_events(database, [(1, "Order Completed", START + 2 * DAY, {})])
    after = read(database, study).readout.provenance
    assert before.snapshot != after.snapshot
    assert before.engine_version == after.engine_version != ""


def test_what_the_command_prints_is_valid_by_the_published_schema(database: Database) -> None:
    a_shop(database)
    validator = jsonschema.Draft202012Validator(report_schema())

    for as_of in (START, AS_OF):
        found = read(database, a_study(a_metric(), campaign="win-back"), as_of=as_of)
        validator.validate(json.loads(json.dumps(as_json(found), allow_nan=False)))


def test_a_bandit_is_read_by_the_chances_of_its_draws_and_never_by_means(sqlite_shop) -> None:  # noqa: F811
    shop = sqlite_shop  # noqa: F811
    for _ in range(6):
        shop.a_day(n=120)
        shop.learn()
    shop.now += 3 * DAY
    playbook = shop.process.playbook
    (study,) = studies(playbook.program, playbook.workspace)

    with shop.process.database.read() as connection:
        found = read_out(connection, study, as_of=shop.now, experiment=shop.bandit)
        without = read_out(connection, study, as_of=shop.now)

    expected = {it.treatment: it.weighted for it in shop.reading("orders-1d").comparisons}
    assert found.readout is not None
    for variant, estimates in expected.items():
        compared = found.readout.of("orders-1d", variant)
        assert compared.estimates == estimates
        assert (compared.control, compared.treatment) == (estimates.control, estimates.treatment)
        assert "AIPW" in compared.method
    assert found.readout.over_time == ()
    assert not found.readout.is_withheld  # The shares moved as they were meant to.
    assert any("batched least squares" in note for note in found.readout.notes)
    assert without.readout is None
    assert found.triggered == ()


# --- from the command line ------------------------------------------------------------------------

EXPERIMENT = """\
experiment: button
variants: {control: {value: blue}, green: {value: green}}
metrics: {primary: ordered-7d}
analysis: {method: fixed, runs: 2w}
"""


@pytest.fixture
def tested(shop: Path, antiphon: Antiphon) -> Path:  # noqa: F811
    (shop / "experiments").mkdir()
    (shop / "experiments" / "button.yaml").write_text(EXPERIMENT)
    applied = antiphon("apply", shop)
    assert applied.code == 0, applied.error
    return shop


def test_an_experiment_is_stopped_started_and_concluded_with_the_edit_that_keeps_it(
    tested: Path,
    antiphon: Antiphon,  # noqa: F811
) -> None:
    stopped = antiphon("experiment", "stop", "button", tested, "--why", "a bug")
    again = antiphon("experiment", "stop", "button", tested)
    started = antiphon("experiment", "start", "button", tested)
    concluded = antiphon("experiment", "conclude", "button", tested, "--winner", "green")

    assert stopped.out.strip() == '"button" is stopped now.'
    assert again.out.strip() == '"button" is stopped already.'
    assert started.out.strip() == '"button" is live now.'
    assert 'everybody gets "green"' in concluded.out
    assert "experiments/button.yaml" in concluded.out
    assert "    state: stopped\n    winner: green" in concluded.out
    # What it prints is what `check` accepts, and then nothing is beside the file any more.
    path = tested / "experiments" / "button.yaml"
    path.write_text(EXPERIMENT + "state: stopped\nwinner: green\n")
    assert antiphon("check", tested).code == 0


def test_a_wrong_winner_and_a_missing_cause_are_refused(tested: Path, antiphon: Antiphon) -> None:  # noqa: F811
    wrong = antiphon("experiment", "conclude", "button", tested, "--winner", "gren")
    silent = antiphon("experiment", "acknowledge", "button", tested, "--cause", " ")

    assert wrong.code == 2
    assert 'Did you mean "green"?' in wrong.error
    assert silent.code == 2
    assert "cause" in silent.error


def test_openers_are_refused_at_the_command_line(tested: Path, antiphon: Antiphon) -> None:  # noqa: F811
    refused = antiphon("experiment", "report", "button", tested, "--among", "openers")

    assert refused.code == 2
    assert "CACE" in refused.error


def test_the_schema_of_a_readout_is_printed(antiphon: Antiphon) -> None:  # noqa: F811
    assert antiphon("schema", "--of", "readout").json() == report_schema()


def _all_columns(connection, given):
    return tuple(given) + tuple(_missing(connection, given))


def _missing(connection, given):
    from engine.tables import Message

    return [
        column.name for column in Message.__table__.columns
        if column.name not in given and not column.nullable
    ]  # fmt: skip


def _filled(connection, given, rows):
    from engine.tables import Message

    extra = tuple(
        0 if "INT" in str(Message.__table__.columns[name].type).upper() else ""
        for name in _missing(connection, given)
    )
    return [(*row, *extra) for row in rows]
