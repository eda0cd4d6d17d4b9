"""What a publisher keeps of experiments: phases, frozen plans, what operators do beside files."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.assigning import Asked, Ids, decide
from engine.core.clocktime import parse_instant
from engine.core.errors import UsageError
from engine.core.model.instants import DAY, ProfileId
from engine.core.model.people import Person, Profile, State
from engine.core.roster import roster_of
from engine.release import releases
from engine.release.experiment_orders import (
    ExperimentOrder,
    Ordered,
    experiment_standings,
    order_experiment,
)
from engine.release.live import has_learnt_more
from engine.release.words import as_data, rendered
from tests.engine.publishing import FILES, Published, with_cart
from tests.engine.test_served_exposures import METRIC, exposures, planned, saw, with_button

WORDS = """  - experiment: words
    id: fork
    variants:
      control: {weight: 1}
      soft: {weight: 1, do: [{send: {channel: email, template: soft}}]}
    metrics: {primary: ordered}
"""


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    yield opened
    opened.close()


def phases(house: Published) -> list[tuple[int, float]]:
    rows = house.rows(
        "SELECT phase, seed, definition FROM experiment_phase WHERE experiment = 'button' "
        "ORDER BY phase"
    )
    return [(int(row[0]), json.loads(row[2])["coverage"]) for row in rows]


def order(house: Published, action: Any, name: str = "button", **about: Any) -> Ordered:
    with house.process.database.read() as connection:
        live = releases.live(connection)
        assert live is not None
        workspace = releases.workspace_of(connection, live.digest)
    done: Ordered = house.process.write(
        lambda connection: order_experiment(
            connection, ExperimentOrder(action, name, **about), workspace=workspace, now=house.now
        )
    )
    house.reload()
    return done


def played(house: Published) -> tuple[str, str]:
    program = house.process.playbook.program
    it = program.experiments["button", program.phases["button"]]
    return it.state, it.winner


# --- phases ---------------------------------------------------------------------------------------


def test_coverage_that_grows_keeps_the_phase_and_coverage_that_shrinks_opens_one(
    house: Published,
) -> None:
    """Up and down and up again: shrunk coverage is another experiment, as `plan` says."""

    def covered(share: str) -> dict[str, str]:
        return with_button("anonymous", ("unit", f"coverage: {share}\nunit"))

    seen, opened = [], []
    for share in ("20%", "50%", "40%", "40%", "90%"):
        opened.append("a new phase opens" in house.words(covered(share)))
        house.apply(covered(share))
        seen.append(phases(house))

    assert seen == [
        [(1, 0.2)],
        [(1, 0.5)],
        [(1, 0.5), (2, 0.4)],
        [(1, 0.5), (2, 0.4)],
        [(1, 0.5), (2, 0.9)],
    ]
    assert opened == [False, False, True, False, False]


def test_a_ramp_moves_nobody_and_only_lets_more_in(house: Published) -> None:
    visitors = [f"v{number}" for number in range(60)]
    house.apply(with_button("anonymous", ("unit", "coverage: 30%\nunit")))
    early = {it: given(house, it) for it in visitors}
    house.apply(with_button("anonymous", ("unit", "coverage: 100%\nunit")))
    late = {it: given(house, it) for it in visitors}

    assert all(late[it] == variant for it, variant in early.items() if variant)
    assert 5 < sum(bool(it) for it in early.values()) < 35
    assert all(late.values())


def given(house: Published, visitor: str) -> str:
    """What a server would answer to this visitor."""
    playbook = house.process.playbook
    stranger = Person(Profile(ProfileId(0), "UTC"), State())
    asked = Asked(
        playbook.program, roster_of(playbook.program), playbook.segments, stranger, house.now,
        ids=Ids(anonymous=visitor),
    )  # fmt: skip
    return decide(asked, "button").variant


def test_a_rollback_of_an_edit_goes_on_in_a_phase_of_its_own(house: Published) -> None:
    """The first design again is not the first phase: others were drawn in between."""
    house.apply(with_button())
    saw(house, planned("v1"), anonymousId="v1")
    house.settle()
    house.apply(with_button("anonymous", ("value: green", "value: lime")))
    house.roll_back()
    saw(house, planned("v1"), anonymousId="v1")
    saw(house, planned("v2", phase=3), anonymousId="v2")
    house.settle()

    assert [it[0] for it in phases(house)] == [1, 2, 3]
    assert [(row[0], row[1], row[2]) for row in exposures(house)] == [
        (1, "v1", planned("v1")),
        (3, "v2", planned("v2", phase=3)),
    ]


# --- the frozen plan ------------------------------------------------------------------------------


def plans(house: Published) -> list[tuple[str, str]]:
    return [
        (row[0], row[1])
        for row in house.rows(
            "SELECT plan, plan_hash FROM experiment_phase WHERE experiment = 'button' "
            "ORDER BY phase"
        )
    ]


def test_the_analysis_is_frozen_when_the_phase_opens_and_no_edit_of_it_touches_that(
    house: Published,
) -> None:
    analysis = "analysis: {method: fixed, runs: 2w}\nunit"
    house.apply(with_button("anonymous", ("unit", analysis)))
    opened_at = house.now
    first = plans(house)
    house.now += DAY
    later = with_button("anonymous", ("unit", analysis.replace("2w", "4w")))
    words = house.words({**later, "metrics/ordered.yaml": METRIC.replace("7d", "14d")})
    house.apply(later)

    ((text, digest),) = plans(house)
    kept = json.loads(text)
    assert first == [(text, digest)]
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert text == json.dumps(kept, sort_keys=True, separators=(",", ":"))
    assert (kept["method"], kept["roles"]["primary"]) == ("fixed", ["ordered"])
    assert kept["metrics"]["ordered"]["within"] == 7 * DAY
    assert parse_instant(kept["ends_at"]) == opened_at + 14 * DAY
    assert "analysis changed while it runs: the report will say so" in words
    assert "a new phase opens" not in words


def test_a_new_phase_freezes_the_plan_of_its_own_day(house: Published) -> None:
    house.apply(with_button())
    house.now += DAY
    edited = with_button("anonymous", ("value: green", "value: lime"))
    house.apply({**edited, "metrics/ordered.yaml": METRIC.replace("7d", "14d")})

    (one, one_hash), (two, two_hash) = plans(house)
    assert json.loads(one)["metrics"]["ordered"]["within"] == 7 * DAY
    assert json.loads(two)["metrics"]["ordered"]["within"] == 14 * DAY
    assert one_hash != two_hash


# --- operators ------------------------------------------------------------------------------------


def test_a_stop_and_a_winner_are_a_release_each_and_end_all_exposures(house: Published) -> None:
    house.apply(with_button())
    stopped = order(house, "stop", why="it flickers")
    assert (given(house, "v1"), played(house)) == ("", ("stopped", ""))
    concluded = order(house, "conclude", winner="green")
    assert (given(house, "v1"), played(house)) == ("green", ("stopped", "green"))
    again = order(house, "conclude", winner="green")
    saw(house, "green", anonymousId="v1")
    house.settle()

    assert [it.release for it in (stopped, concluded, again)] == [3, 4, 0]
    assert exposures(house) == []
    started = order(house, "start")
    assert (started.release, played(house)) == (5, ("live", ""))


def test_what_operators_did_survives_apply_and_is_shown_as_drift_until_the_files_say_it(
    house: Published,
) -> None:
    files = with_button()
    house.apply(files)
    order(house, "conclude", winner="green", why="it won")
    drift = '! experiment "button" is stopped for "green" by an operator since '
    house.apply({**files, "campaigns/cart.yaml": with_cart(("30m", "31m"))["campaigns/cart.yaml"]})
    house.restart()

    plan = house.plan(files)

    assert drift in rendered(plan)
    assert rendered(plan).count("it won (it stays)") == 1
    assert as_data(plan)["experiments_held"]["button"]["winner"] == "green"
    assert played(house) == ("stopped", "green")
    made_permanent = with_button("anonymous", ("unit", "state: stopped\nwinner: green\nunit"))
    assert drift not in house.words(made_permanent)
    assert "a new phase opens" not in house.words(made_permanent)


def test_a_draft_is_started_by_hand(house: Published) -> None:
    house.apply(with_button("anonymous", ("unit", "state: draft\nunit")))
    assert given(house, "v1") == ""

    order(house, "start")

    assert given(house, "v1") == planned("v1")
    assert played(house) == ("live", "")


def test_a_concluded_step_gives_everybody_the_winners_arm_and_exposes_nobody(
    house: Published,
) -> None:
    text = with_cart(("  - send: {channel: email, template: soft}\n    id: remind\n", WORDS))
    files = {**text, "metrics/ordered.yaml": METRIC}
    files["campaigns/cart.yaml"] = files["campaigns/cart.yaml"].replace(
        "  - wait_for: {event: Product Viewed, timeout: 2h}\n    id: waiting\n", ""
    )
    house.apply(files)
    order(house, "conclude", "words", winner="soft")
    house.carts(6)
    house.settle(until=house.now + DAY)

    assert house.rows("SELECT count(*) FROM exposure WHERE experiment = 'words'") == [(0,)]
    assert house.rows("SELECT variant, count(*) FROM message GROUP BY variant") == [("soft", 6)]


def test_a_sample_ratio_is_acknowledged_with_its_cause_for_its_phase_alone(
    house: Published,
) -> None:
    house.apply(with_button())

    done = order(house, "acknowledge", why="the green page was cached without its script")

    assert (done.release, done.phase) == (0, 1), "nobody gets anything else: no release"
    with house.process.database.read() as connection:
        standing = experiment_standings(connection)["button"]
    assert standing.explanation(1).cause == "the green page was cached without its script"
    assert standing.explanation(2).cause == ""
    order(house, "stop")
    with house.process.database.read() as connection:
        assert experiment_standings(connection)["button"].explanation(1).cause, (
            "a stop keeps what was said"
        )


@pytest.mark.parametrize(
    ("action", "name", "about", "says"),
    [
        ("stop", "buton", {}, 'Did you mean "button"'),
        ("conclude", "button", {}, "conclude needs the winner"),
        ("conclude", "button", {"winner": "gren"}, 'Did you mean "green"'),
        ("acknowledge", "button", {"why": "  "}, "with its cause"),
        ("acknowledge", "button", {"why": "x" * 501}, "at most 500"),
    ],
)
def test_a_slip_in_an_order_is_refused_with_the_mend(
    house: Published, action: str, name: str, about: dict[str, str], says: str
) -> None:
    house.apply(with_button())

    with pytest.raises(UsageError, match=says):
        order(house, action, name, **about)


# --- bandits --------------------------------------------------------------------------------------


def test_weights_that_another_process_has_learnt_are_noticed_and_played(house: Published) -> None:
    bandit = "allocation: {bandit: {explore: 0%}}\nunit"
    house.apply(with_button("anonymous", ("unit", bandit)))
    house.process.write(
        lambda connection: connection.execute(
            "INSERT INTO bandit_weights (experiment, phase, version, since, weights, trained) "
            "VALUES ('button', 1, 1, ?, ?, '{}')",
            (house.now, '{"control": 1, "green": 9999}'),
        )
    )
    program = house.process.playbook.program
    with house.process.database.read() as connection:
        assert has_learnt_more(connection, program)
    house.reload()
    with house.process.database.read() as connection:
        assert not has_learnt_more(connection, house.process.playbook.program)

    visitors = [f"v{number}" for number in range(40)]
    assert {given(house, it) for it in visitors} == {"green"}
    saw(house, "green", anonymousId="v1")
    house.settle()
    rows = house.rows("SELECT allocation, probability FROM exposure WHERE flag = ''")
    assert rows == [(1, 0.9999)]


def test_files_without_experiments_have_nothing_of_all_this(house: Published) -> None:
    assert house.rows("SELECT count(*) FROM experiment_phase") == [(0,)]
    assert "experiment" not in house.words(FILES)
