"""Bandits learn by themselves: on the virtual clock, in a running engine, and by the command."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaigns.load import load_bundle
from engine.core.model.instants import DAY, HOUR
from engine.release.live import load_playbook
from engine.release.playbook import Playbook
from engine.running import Running
from engine.scheduling.jobs import JOBS
from engine.scheduling.plans import plans_of
from engine.scheduling.rows import Run
from engine.settings import Settings
from engine.simulation.replay import Replay, applied, simulated_links, throwaway
from engine.store.database import Database
from engine.vault import Vault
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.publishing import written
from tests.engine.test_bandits import LIFTS, WELCOME, WORKSPACE, Shop
from tests.engine.test_simulate import START, facts_of
from tests.rig.process import SECRET


def a_call(user: str, event: str, at: int) -> dict[str, Any]:
    from engine.core.clocktime import iso

    return {
        "type": "track", "userId": user, "event": event, "timestamp": iso(at),
        "messageId": f"{user}-{event}", "properties": {},
    }  # fmt: skip


def test_on_the_virtual_clock_bandits_learn_as_days_go_by() -> None:
    rng = np.random.default_rng(3)
    n_days, n_a_day = 6, 120
    signed_up = [
        a_call(f"u{n}", "Signed Up", START + n // n_a_day * DAY + n % n_a_day * 60_000_000)
        for n in range(n_days * n_a_day)
    ]
    told: set[str] = set()

    def order(it: Replay, closes: int) -> None:
        """Those exposed in the window order an hour after it, as often as their arm makes them."""
        with it.database.read() as connection:
            rows = connection.execute(
                "SELECT i.value, e.variant FROM exposure e JOIN identity i "
                "ON i.profile_id = e.profile_id AND i.kind = 'user' ORDER BY e.profile_id"
            )
        for user, variant in rows:
            if user not in told and rng.random() < 0.1 + LIFTS[variant]:
                it.add(facts_of([a_call(user, "Order Completed", closes + HOUR)], it))
            told.add(user)

    with throwaway() as (database, vault, folder):
        workspace = load_bundle(
            {name: text.encode() for name, text in WORKSPACE.items()}, environ={}
        )
        playbook = applied(database, workspace, vault=vault, at=START)
        replay = Replay(database, playbook, vault=vault, links=simulated_links(), directory=folder)
        replay.add(facts_of(signed_up, replay))
        replay.run(start=START, end=START + n_days * DAY, after_window=order)
        replay.close()
        with database.read() as connection:
            kept = connection.execute("SELECT version, since FROM bandit_weights ORDER BY version")
            used = connection.execute(
                "SELECT allocation, count(*) FROM exposure GROUP BY allocation ORDER BY allocation"
            )

    assert [version for version, _ in kept] == list(range(1, len(kept) + 1))
    assert 2 <= len(kept) <= n_days - 1
    assert all(later - earlier >= DAY for (_, earlier), (_, later) in pairwise(kept))
    assert len(used) >= 3  # the planned weights, then what was learnt: used as soon as it is there
    assert sum(n for _, n in used) == n_days * n_a_day
    last = replay.playbook.program.allocations["greeting"][-1].weights
    assert max(last, key=last.__getitem__) == "bold"


# --- a running engine ---------------------------------------------------------------------------


def a_running(url: str, folder: Path) -> Running:
    settings = Settings(directory=folder, database_url=url, secret_key=SECRET)
    return Running(
        settings, Database(url), public_url="http://localhost", load=load_applied, failed=print,
        role="web",
    )  # fmt: skip


def load_applied(database: Database, vault: Vault) -> Playbook | None:
    return load_playbook(database, vault=vault, environ={})


def learn(running: Running) -> None:
    """What the schedule "bandit-updates" does in a running engine."""
    assert running.playbook is not None
    plan = plans_of(running.playbook.workspace)["bandit-updates"]
    JOBS[plan.job](running.schedules.means, Run("bandit-updates", 0, plan, "test", 1))


def test_a_running_engine_learns_and_the_one_beside_it_plays_by_it(
    database_url: str, tmp_path: Path
) -> None:
    shop = Shop(database_url)
    for _ in range(2):
        shop.a_day(n=200)
    shop.close()  # seven months ago, by the clock of the running engines
    engines = [a_running(database_url, tmp_path) for _ in range(2)]
    try:
        for it in engines:
            it.commits.start()
            it.reload()

        learn(engines[0])
        engines[1].reload_if_changed()

        for it in engines:
            assert it.playbook is not None
            (learnt,) = it.playbook.program.allocations["greeting"]
            assert learnt.version == 1
            assert learnt.weights["bold"] == max(learnt.weights.values())
        # Asked again before its time, either does nothing; so does one that has heard of nothing.
        for it in engines:
            learn(it)
        with engines[0].database.read() as connection:
            assert connection.execute("SELECT count(*) FROM bandit_weights") == [(1,)]
    finally:
        for it in engines:
            it.commits.stop()
            it.database.close()


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, antiphon: Antiphon) -> Path:
    found = written(tmp_path / "shop", WORKSPACE)
    done = antiphon("apply", found)
    assert done.code == 0, done.error
    return found


def test_update_says_when_a_bandit_learns_again(folder: Path, antiphon: Antiphon) -> None:
    shown = antiphon("experiment", "update", "greeting", folder)

    assert shown.code == 0, shown.error
    assert "greeting: the planned weights: control 33.3%, warm 33.3%, bold 33.3%" in shown.out
    assert '"greeting" learns again at' in shown.out
    (it,) = antiphon("experiment", "update", "all", folder, "--json").json()["bandits"]
    assert it["version"] == 0
    assert it["is_new"] is False


def test_update_names_the_bandits_there_are(folder: Path, antiphon: Antiphon) -> None:
    said = antiphon("experiment", "update", "greting", folder)

    assert said.code == 2
    assert 'there is no bandit "greting". Did you mean "greeting"?' in said.error


def test_update_without_a_bandit_says_so(tmp_path: Path, antiphon: Antiphon) -> None:
    plain = WELCOME[: WELCOME.index("    allocation:")]
    found = written(tmp_path / "plain", {**WORKSPACE, "campaigns/welcome.yaml": plain})
    assert antiphon("apply", found).code == 0

    shown = antiphon("experiment", "update", "all", found)

    assert shown.code == 0
    assert "all keep their planned weights" in shown.out
