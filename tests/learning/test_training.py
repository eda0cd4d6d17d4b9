"""What each kind of model makes of a past, where one shop of habits does not show it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR
from engine.learning.features import FeatureTable
from engine.learning.newcomers import newcomers
from engine.learning.refreshing import Learner, refresh
from engine.steady import elapsed
from engine.store import migrate, models
from engine.store.database import Database
from tests.engine.publishing import CART, FILES, Published
from tests.learning.shopping import a_shop

HELD = {
    **FILES,
    "campaigns/cart.yaml": CART.replace("topic:", "goal: {metric: ordered}\nholdout: 50%\ntopic:"),
    "metrics/ordered.yaml": "metric: ordered\nevent: Order Completed\nwithin: 7d\n",
    "models/worth-it.yaml": (
        "uplift: worth-it\ncampaign: cart\nmetric: ordered\nbudget: 80%\n"
        "features: [recency, frequency]\n"
    ),
}
N = 900
LABELS = "SELECT profile_id, label FROM model_score WHERE run ="


@pytest.fixture
def url(tmp_path: Any) -> str:
    found = f"sqlite:///{tmp_path / 'shop.db'}"
    database = Database(found)
    migrate.upgrade(database)
    database.close()
    return found


@pytest.fixture
def held(database_url: str) -> Iterator[Published]:
    """People of whom the lapsed answer a message, and the others are put off by it."""
    stage = Published(database_url)
    stage.apply(HELD)
    rng = np.random.default_rng(3)
    exposed_at = stage.now - 20 * DAY
    is_lapsed = rng.random(N) < 0.5
    is_treated = rng.random(N) < 0.5
    chance = np.where(is_lapsed, 0.05 + 0.5 * is_treated, 0.95 - 0.25 * is_treated)
    orders = rng.random(N) < chance
    items = []
    for number in range(N):
        ago = int(rng.integers(90, 180)) if is_lapsed[number] else int(rng.integers(8, 20))
        items.append(_order(f"u{number}", exposed_at - ago * DAY))
        if orders[number]:
            items.append(_order(f"u{number}", exposed_at + DAY))
    for start in range(0, len(items), 400):
        stage.send(*items[start : start + 400])
    rows = stage.rows("SELECT value, profile_id FROM identity")
    number_of = {str(value): int(profile) for value, profile in rows}
    with stage.process.database.write() as connection:
        connection.executemany(
            "INSERT INTO exposure (experiment, phase, profile_id, unit, variant, at, probability, "
            "campaign, enrollment_id, would_allow) "
            "VALUES ('holdout:cart', 1, ?, '', ?, ?, 0.5, 'cart', 0, '')",
            [
                (number_of[f"u{n}"], "treated" if is_treated[n] else "held_out", exposed_at)
                for n in range(N)
            ],
        )
    stage.now += HOUR
    yield stage
    stage.close()


def test_uplift_is_published_where_messages_help_some_and_harm_others(held: Published) -> None:
    process = held.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)

    done = refresh(learner, "worth-it", as_of=held.now, now=held.now)

    values = held.rows(
        "SELECT i.value, s.value FROM model_score s JOIN identity i ON i.profile_id = s.profile_id"
    )
    by_user = {str(user): float(value) for user, value in values}
    assert done.status == "champion", done.verdict
    assert done.verdict.startswith("Accepted")
    assert len(by_user) == N
    assert min(by_user.values()) < 0 < max(by_user.values())


def test_a_treatment_dealt_out_anew_teaches_nothing(held: Published) -> None:
    rng = np.random.default_rng(9)
    with held.process.database.write() as connection:
        ids = [row[0] for row in connection.execute("SELECT profile_id FROM exposure")]
        variants = np.where(rng.random(len(ids)) < 0.5, "treated", "held_out").tolist()
        connection.executemany(
            "UPDATE exposure SET variant = ? WHERE profile_id = ?",
            list(zip(variants, ids, strict=True)),
        )
    process = held.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)

    done = refresh(learner, "worth-it", as_of=held.now, now=held.now)

    assert done.status == "candidate", done.verdict
    assert done.verdict.startswith("Refused")
    assert held.rows("SELECT count(*) FROM model_score") == [(0,)]


def test_groups_are_published_with_labels_that_last_and_forgotten_with_the_person(
    database_url: str,
) -> None:
    files = {**FILES, "models/shoppers.yaml": "cluster: shoppers\nk: 2\nmin_stability: 0.5\n"}
    stage = a_shop(database_url, files=files)
    learner = Learner(stage.process.database, stage.process.playbook, stage.process.write, elapsed)

    first = refresh(learner, "shoppers", as_of=stage.now, now=stage.now)
    labels: dict[int, str] = dict(
        stage.rows("SELECT profile_id, label FROM model_score WHERE run = 1")
    )
    second = refresh(learner, "shoppers", as_of=stage.now, now=stage.now)
    again: dict[int, str] = dict(
        stage.rows("SELECT profile_id, label FROM model_score WHERE run = 2")
    )
    stage.close()

    assert (first.status, second.status) == ("champion", "champion")
    assert len(set(labels.values())) == 2
    assert again == labels
    moved = [it for it in second.metrics["transitions"] if it[0] != it[1]]
    assert (moved, sum(it[2] for it in second.metrics["transitions"])) == ([], 240)


def test_a_name_that_becomes_another_kind_of_model_begins_anew(url: str) -> None:
    as_group = "cluster: shoppers\nk: 2\nmin_stability: 0.5\n"
    as_hour = "send_time: shoppers\nevents: [Product Viewed]\n"
    stage = a_shop(url, files={**FILES, "models/shoppers.yaml": as_group}, n=120)
    said = []
    for text in (as_group, as_hour, as_group):
        stage.apply({**FILES, "models/shoppers.yaml": text})
        process = stage.process
        learner = Learner(process.database, process.playbook, process.write, elapsed)
        said.append(refresh(learner, "shoppers", as_of=stage.now, now=stage.now))
    stage.close()

    assert [(it.kind, it.status) for it in said] == [
        ("cluster", "champion"), ("send_time", "champion"), ("cluster", "champion"),
    ]  # fmt: skip


def test_lifetime_value_is_a_score_with_a_word_for_everybody(url: str) -> None:
    files = {
        **FILES,
        "models/worth.yaml": (
            "score: worth\nalgorithm: lifetime\n"
            "target: {sum: properties.revenue, event: Order Completed, within: 30d}\n"
        ),
    }
    stage = a_shop(url, files=files)
    learner = Learner(stage.process.database, stage.process.playbook, stage.process.write, elapsed)

    done = refresh(learner, "worth", as_of=stage.now, now=stage.now)
    rows = stage.rows("SELECT DISTINCT label FROM model_score ORDER BY label")
    stage.close()

    assert done.status in ("champion", "candidate"), done.verdict
    if done.status == "champion":
        assert {row[0] for row in rows} <= {"active", "fading", "gone"}


def test_a_champion_that_must_forget_and_cannot_be_trained_is_withdrawn(url: str) -> None:
    groups = "cluster: groups\nk: 2\nmin_stability: 0.5\n"
    stage = a_shop(url, files={**FILES, "models/groups.yaml": groups}, n=120)
    process = stage.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    refresh(learner, "groups", as_of=stage.now, now=stage.now)
    process.write(lambda it: models.demand_retraining(it, ["groups"], by=stage.now + DAY))

    kept = refresh(learner, "groups", as_of=stage.now - 1_000 * DAY, now=stage.now)
    early = stage.rows("SELECT status FROM model_run WHERE run = 1")
    stage.now += 2 * DAY
    refresh(learner, "groups", as_of=stage.now - 1_000 * DAY, now=stage.now)
    late = stage.rows("SELECT status FROM model_run WHERE run = 1")
    stage.close()

    assert kept.status == "refused"
    assert (early, late) == ([("champion",)], [("retired",)])


def test_hours_that_nobody_can_judge_are_not_published(url: str) -> None:
    stage = a_shop(url, files={**FILES, "models/hour.yaml": "send_time: hour\n"}, n=20)
    process = stage.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)

    done = refresh(learner, "hour", as_of=stage.now, now=stage.now)
    said = stage.rows("SELECT count(*) FROM model_score")
    stage.close()

    assert done.status == "candidate"
    assert "too few act often enough to tell" in done.verdict
    assert said == [(0,)]


def _order(user: str, at: int) -> dict[str, Any]:
    return {
        "type": "track", "userId": user, "event": "Order Completed", "timestamp": iso(at),
        "properties": {"revenue": 20, "products": [{"product_id": "p1"}]},
    }  # fmt: skip


def test_who_did_next_to_nothing_is_given_what_others_like_them_did() -> None:
    known = table(device=["mobile"] * 80 + ["desktop"] * 80, did=[5] * 160)
    labels = np.array([1.0] * 60 + [0.0] * 20 + [0.0] * 80)
    today = table(device=["mobile", "mobile", "desktop", "tv"], did=[9, 1, 0, 0])

    guessed = newcomers(today, known, labels)

    assert list(guessed) == [2, 3, 4], "the first is known by what they did"
    assert guessed[2] > 0.5 > 0.2 > guessed[3] > 0
    assert guessed[4] == pytest.approx(60 / 160), "nobody came from there: the mean of all"
    assert newcomers(replace(today, texts={}), known, labels) == {}


def table(*, device: list[str], did: list[int]) -> FeatureTable:
    n = len(device)
    return FeatureTable(
        np.arange(1, n + 1),
        0,
        {"n_sessions": np.array(did, dtype=np.float64), "frequency": np.zeros(n)},
        {"device": np.array(device), "country": np.array(["DE"] * n)},
    )
