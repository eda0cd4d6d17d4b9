"""The report of a bandit: its effects come from the chances, and no plain average is in it."""

from collections import Counter
from pathlib import Path

import pytest

from engine.core.model.instants import DAY
from engine.readout.findings import read_out
from engine.readout.reports import as_text
from engine.readout.studies import studies
from engine.store import migrate
from engine.store.database import Database
from tests.engine.test_bandits import WELCOME, WORKSPACE, Shop


@pytest.fixture
def shop(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'bandit.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    both = WELCOME.replace("primary: orders-1d", "primary: orders-1d, secondary: spend-1d")
    stage = Shop(url, {**WORKSPACE, "campaigns/welcome.yaml": both})
    yield stage
    stage.close()


def test_the_report_of_a_bandit_shows_no_plain_average(shop: Shop) -> None:
    for day in range(6):
        shop.a_day(n=150, base=0.05 + 0.09 * day)  # a launch catches on while weights move
        shop.learn()
    shop.now += 2 * DAY
    playbook = shop.process.playbook
    (study,) = studies(playbook.program, playbook.workspace)

    with shop.process.database.read() as connection:
        found = read_out(connection, study, as_of=shop.now, experiment=shop.bandit)

    orders = shop.rows("SELECT DISTINCT profile_id FROM event WHERE name = 'Order Completed'")
    ordered = {row[0] for row in orders}
    units: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for profile, variant in shop.rows("SELECT profile_id, variant FROM exposure"):
        units[variant] += 1
        hits[variant] += profile in ordered
    assert found.readout is not None, found.why_not
    by = {(it.metric.name, it.variant): it for it in found.readout.comparisons}
    assert by.keys() == {
        (metric, arm) for metric in ("orders-1d", "spend-1d") for arm in ("warm", "bold")
    }
    for (metric, arm), it in by.items():
        assert "adaptively weighted" in it.method
        assert it.uncapped is None
        if metric == "orders-1d":
            assert abs(it.control - hits["control"] / units["control"]) > 0.01
            assert abs(it.treatment - hits[arm] / units[arm]) > 0.001
    shown = as_text(found, markdown=False)
    assert "No arm's plain average is shown" in shown
    for arm in units:
        assert f"{hits[arm] / units[arm]:.2%}".replace("%", " %") not in shown
