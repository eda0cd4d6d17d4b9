"""A bandit from its YAML to its reading: weights move and effects hold the truth."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

import msgspec
import numpy as np
import pytest

from campaigns.metrics import compile_metrics
from campaigns.problems import InvalidWorkspace
from engine.bandits.due import bandits, due_at
from engine.bandits.learning import Learning
from engine.bandits.updating import update_bandit
from engine.bandits.weights import versions
from engine.core.errors import UsageError
from engine.core.model.campaigns import Bandit, Experiment
from engine.core.model.instants import DAY, HOUR
from engine.readout.bandits import BanditFindings, bandit_estimates
from experiments.evidence.compare import normal, welch
from tests.engine.publishing import FILES, SETTINGS, Published
from tests.engine.test_readout import keep_events
from tests.rig.sizes import scaled

WELCOME = """campaign: welcome
trigger: {event: Signed Up}
topic: offers
journey:
  - experiment: greeting
    id: greet
    variants:
      control: {weight: 1, do: []}
      warm: {weight: 1, do: [{update: {traits: {plan: warm}}}]}
      bold: {weight: 1, do: [{update: {traits: {plan: bold}}}]}
    metrics: {primary: orders-1d}
    allocation: {bandit: {algorithm: thompson, floor: 10%, every: 1d, explore: 20%}}
"""
ORDERS = "metric: orders-1d\nevent: Order Completed\nmeasure: happened\nwithin: 1d\n"
SPEND = (
    "metric: spend-1d\nevent: Order Completed\nmeasure: sum\nvalue: properties.revenue\n"
    "within: 1d\nwinsorize: p99\n"
)
ALWAYS = "metric: ever\nevent: Order Completed\nmeasure: happened\nover: period\n"
WORKSPACE = {
    "antiphon.yaml": SETTINGS,
    "campaigns/welcome.yaml": WELCOME,
    "metrics/orders-1d.yaml": ORDERS,
    "metrics/spend-1d.yaml": SPEND,
    "metrics/ever.yaml": ALWAYS,
}
LIFTS = {"control": 0.0, "warm": 0.1, "bold": 0.35}


class Shop(Published):
    """Every day some people sign up, and the next day each arm's share of them has ordered."""

    def __init__(self, url: str, files: dict[str, str] = WORKSPACE) -> None:
        super().__init__(url)
        self.apply(files)
        self.learning = Learning()
        self.rng = np.random.default_rng(7)
        self.n_people = 0

    def a_day(self, *, n: int, base: float = 0.1) -> None:
        first = self.n_people + 1
        self.n_people += n
        for number in range(first, first + n):
            self.send({"type": "track", "userId": f"u{number}", "event": "Signed Up"})
        self.settle()
        self.now += HOUR
        drawn = self.rows(
            "SELECT i.value, e.variant FROM exposure e JOIN identity i "
            "ON i.profile_id = e.profile_id AND i.kind = 'user' WHERE e.experiment = 'greeting' "
            "AND e.at > ? ORDER BY e.profile_id",
            self.now - 2 * HOUR,
        )
        for user, variant in drawn:
            if self.rng.random() < base + LIFTS[variant]:
                revenue = round(float(self.rng.gamma(2.0, 10.0)), 2)
                self.track(user, "Order Completed", revenue=revenue)
        self.settle()
        self.now += 23 * HOUR

    def learn(self) -> None:
        done = self.learning.update(
            self.process.database, self.process.playbook, write=self.process.write, now=self.now
        )
        if done:
            self.reload()

    @property
    def bandit(self) -> Experiment:
        (found,) = bandits(self.process.playbook.program)
        return found

    def reading(self, *names: str) -> BanditFindings:
        metrics = compile_metrics(self.process.playbook.workspace)
        with self.process.database.read() as connection:
            return bandit_estimates(
                connection,
                self.bandit,
                [(metrics[name], "primary") for name in names],
                as_of=self.now,
            )


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    stage = Shop(database_url)
    yield stage
    stage.close()


@pytest.fixture
def sqlite_shop(tmp_path) -> Iterator[Shop]:
    from engine.store import migrate
    from engine.store.database import Database

    url = f"sqlite:///{tmp_path / 'bandit.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    stage = Shop(url)
    yield stage
    stage.close()


def test_weights_move_to_the_better_arm_and_the_reading_holds_the_truth(shop: Shop) -> None:
    n_days, n_a_day = 7, scaled(120)

    for day in range(n_days):
        shop.a_day(n=n_a_day, base=0.05 + 0.07 * day)  # for all arms alike: a launch catches on
        shop.learn()
    shop.now += 2 * DAY

    # Weights: learnt once a day from the second on, the best arm leads, nobody below the floor.
    learnt = shop.process.playbook.program.allocations["greeting"]
    assert [it.version for it in learnt] == list(range(1, len(learnt) + 1))
    assert len(learnt) >= n_days - 2
    assert max(learnt[-1].weights, key=learnt[-1].weights.__getitem__) == "bold"
    assert learnt[-1].weights["bold"] > 6_000
    assert all(min(it.weights.values()) >= 1_000 for it in learnt)
    assert all(sum(it.weights.values()) == 10_000 for it in learnt)

    # Exposures: drawn by what they say, the explored slice by the planned weights for ever.
    found = shop.reading("orders-1d", "spend-1d")
    assert found.log.n_unexplained == 0
    assert found.log.n_open == 0
    assert sum(found.n.values()) == n_days * n_a_day
    assert found.n["bold"] > 1.3 * found.n["control"]
    assert found.sample_ratio is not None
    assert found.sample_ratio.passed
    explored = Counter(it.variant for it in found.log.drawn if it.is_explored)
    assert found.n_explored == sum(explored.values())
    assert abs(found.n_explored / (n_days * n_a_day) - 0.2) < 0.06
    assert max(explored.values()) < 2 * min(explored.values())
    assert {it.version for it in found.log.drawn if it.is_explored} == {0}

    # Effects: the truth inside, both ways, for the arm that led on the good days.
    assert found.why_not == ""
    by = {(it.metric.name, it.treatment): it for it in found.comparisons}
    assert len(by) == 4
    for treatment in ("warm", "bold"):
        it = by["orders-1d", treatment]
        for read in (it.weighted, it.batched):
            error = read.treatment - read.control - LIFTS[treatment]
            assert abs(error) < 1.2 * welch(read, alpha=0.05).critical * sqrt(
                read.difference_variance
            )
    clear = normal(by["orders-1d", "bold"].weighted, alpha=0.05)
    assert clear.pvalue is not None
    assert clear.pvalue < 0.001
    assert by["spend-1d", "bold"].weighted.treatment > by["spend-1d", "bold"].weighted.control
    assert "plain average" in found.notes[0]
    assert f"{len(learnt)} versions of the weights were learnt" in found.notes[1]
    assert len(found.notes) == 2  # nobody waits, nobody is set aside


def test_a_version_holds_from_its_instant_on_and_says_what_it_was_learnt_from(shop: Shop) -> None:
    for _ in range(3):
        shop.a_day(n=150)
        shop.learn()

    ((version, since, trained),) = shop.rows(
        "SELECT version, since, trained FROM bandit_weights WHERE version = 1"
    )
    (first,) = shop.rows("SELECT min(at) FROM exposure WHERE allocation = 1")

    about = msgspec.json.decode(trained)
    assert version == 1
    assert first[0] >= since
    assert about["metric"] == "orders-1d"
    assert about["as_of"] == since
    assert sum(about["units"].values()) < 300  # matured cohorts, without the explored slice
    assert sum(about["p_best"].values()) == pytest.approx(1)
    assert about["means"].keys() == LIFTS.keys()


def test_a_cohort_is_neither_learnt_from_nor_read_before_its_windows_close(
    sqlite_shop: Shop,
) -> None:
    shop = sqlite_shop
    shop.a_day(n=300)

    found = shop.reading("orders-1d")

    assert found.log.n_open == 300  # the day is over, the last one's window is not
    assert sum(found.n.values()) == 0
    assert found.comparisons == ()
    assert "whose window has closed" in found.why_not
    shop.now += DAY
    assert shop.reading("orders-1d").log.n_open == 0


def test_two_processes_that_learn_at_once_keep_one_version(shop: Shop) -> None:
    for _ in range(2):
        shop.a_day(n=150)
    shop.now += DAY
    process = shop.process

    def late(change):
        """Another process is done between our reading and our writing."""
        update_bandit(
            process.database, process.playbook, shop.bandit, write=process.write, now=shop.now
        )
        return process.write(change)

    done = update_bandit(process.database, process.playbook, shop.bandit, write=late, now=shop.now)

    assert not done.is_new
    assert done.why == "another process has just learnt it"
    with process.database.read() as connection:
        assert len(versions(connection, "greeting", 1)) == 1


def test_nothing_is_learnt_before_its_time_nor_from_too_little(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    process = shop.process
    with pytest.raises(UsageError, match='"greeting" learns again at 2026-03-03'):
        update_bandit(
            process.database, process.playbook, shop.bandit, write=process.write, now=shop.now
        )
    shop.a_day(n=30)
    shop.now += DAY

    done = update_bandit(
        process.database, process.playbook, shop.bandit, write=process.write, now=shop.now
    )

    assert not done.is_new
    assert done.version == 0
    assert done.weights == {"control": 1, "warm": 1, "bold": 1}
    assert "every arm needs 30 units" in done.why
    with process.database.read() as connection:
        assert versions(connection, "greeting", 1) == ()
        assert due_at(connection, shop.bandit) <= shop.now


def test_a_bandit_is_asked_once_per_span_and_one_in_trouble_stops_nobody(
    sqlite_shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = sqlite_shop
    program = shop.process.playbook.program
    greedy = msgspec.structs.replace(
        shop.bandit, bandit=Bandit("thompson", floor=0.4, every=DAY, explore=0.2)
    )  # `check` refuses such a floor; a definition of an older program may have it
    shop.process.playbook = replace(
        shop.process.playbook,
        program=msgspec.structs.replace(
            program, experiments={**program.experiments, ("greeting", 1): greedy}
        ),
    )
    for _ in range(3):
        shop.a_day(n=150)

    for _ in range(5):
        shop.learn()

    said = [it.message for it in caplog.records if "learns nothing" in it.message]
    assert len(said) == 1
    assert "a floor of 0.4000 for 3 arms is impossible" in said[0]


def test_an_exposure_whose_chances_are_not_its_versions_is_set_aside_and_counted(
    sqlite_shop: Shop,
) -> None:
    shop = sqlite_shop
    shop.a_day(n=200)
    shop.now += DAY
    with shop.process.database.write() as connection:
        connection.execute("UPDATE exposure SET probability = 0.9 WHERE profile_id <= 3")
        connection.execute("UPDATE exposure SET allocation = 7 WHERE profile_id IN (4, 5)")
        connection.execute("UPDATE exposure SET flag = 'forced' WHERE profile_id = 6")

    found = shop.reading("orders-1d")

    assert found.log.n_unexplained == 5
    assert sum(found.n.values()) == 194


def test_someone_whom_a_merge_found_under_two_variants_is_set_aside(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    shop.a_day(n=100)
    shop.now += DAY
    conflict = {"experiment": "greeting", "variants": ["control", "bold"]}
    keep_events(shop.process.database, [(1, "Assignment Conflict", shop.now - HOUR, conflict)])

    found = shop.reading("orders-1d")

    assert found.log.n_torn == 1
    assert sum(found.n.values()) == 99


def test_people_of_one_account_are_one_unit(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    shop.a_day(n=200)
    shop.now += DAY
    alone = shop.reading("orders-1d")
    with shop.process.database.write() as connection:
        # Two people of each account under the arm of the account, as the core would have it.
        connection.execute("UPDATE exposure SET unit = 'acme' WHERE profile_id IN (1, 2)")
        connection.execute(
            "UPDATE exposure SET variant = (SELECT variant FROM exposure WHERE profile_id = 1) "
            "WHERE profile_id = 2"
        )

    found = shop.reading("orders-1d")

    assert sum(alone.n.values()) == 200
    assert sum(found.n.values()) == 199
    (account,) = [it for it in found.log.drawn if len(it.exposed) > 1]
    assert [unit.profile_id for unit in account.exposed] == [1, 2]


def test_metrics_that_no_unit_has_for_good_are_refused(sqlite_shop: Shop) -> None:
    with pytest.raises(UsageError, match='"ever" has no window'):
        sqlite_shop.reading("ever")


def test_a_bandit_without_a_metric_is_refused(sqlite_shop: Shop) -> None:
    without = WELCOME.replace("    metrics: {primary: orders-1d}\n", "")

    with pytest.raises(InvalidWorkspace, match="a bandit needs a metric to learn from"):
        sqlite_shop.apply({**WORKSPACE, "campaigns/welcome.yaml": without})


def test_without_a_bandit_nothing_is_learnt(sqlite_shop: Shop) -> None:
    sqlite_shop.apply(FILES)

    assert bandits(sqlite_shop.process.playbook.program) == []
