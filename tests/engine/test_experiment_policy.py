"""`experiment policy`: another allocation judged by the log of an experiment that ran here."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import UsageError
from engine.core.model.instants import DAY
from engine.readout.policy_log import PolicyFindings, Weighing, judge_policy
from engine.readout.studies import studies
from engine.store.database import Database
from tests.engine.test_bandit_report import shop
from tests.engine.test_bandits import Shop
from tests.engine.test_readout import (
    AS_OF,
    START,
    Unit,
    a_metric,
    a_study,
    keep_events,
    keep_exposures,
)
from tests.engine.test_reports import keep_profiles

__all__ = ["shop"]

IN_FRANCE = "arms: {control: 1}\nrules:\n  - when: {traits.country: FR}\n    arms: {email: 1}\n"


def a_country_each(database: Database, *, n: int = 2_000) -> dict[int, tuple[str, str, int]]:
    """Orders after a mail that works in France alone; profile -> country, arm, ordered."""
    rng = random.Random(7)
    units, traits, events, told = [], {}, [], {}
    for i in range(1, n + 1):
        country, arm = rng.choice(["FR", "DE"]), rng.choice(["control", "email"])
        unit = Unit(i, arm, START + i)
        units.append(unit)
        traits[i] = {"country": country}
        rate = 0.2 + (0.4 if country == "FR" and arm == "email" else 0.0)
        ordered = int(rng.random() < rate)
        if ordered:
            events.append((i, "Order Completed", unit.at + DAY, {}))
        told[i] = (country, arm, ordered)
    keep_profiles(database, traits)
    keep_exposures(database, units)
    keep_events(database, events)
    return told


def judge(database: Database, tmp_path: Path, policy: str) -> PolicyFindings:
    path = tmp_path / "policy.yaml"
    path.write_text(policy)
    with database.read() as connection:
        return judge_policy(connection, a_study(a_metric()), path, as_of=AS_OF, experiment=None)


def test_the_mail_for_france_alone_is_worth_what_the_log_says(
    database: Database, tmp_path: Path
) -> None:
    told = a_country_each(database)

    found = judge(database, tmp_path, IN_FRANCE)

    weights = np.array([2.0 * (arm == ("email" if country == "FR" else "control"))
                        for country, arm, _ in told.values()])  # fmt: skip
    ordered = np.array([it[2] for it in told.values()])
    by = {it.method: it for it in found.judged.worths}
    ipw = by["ipw"].value
    assert ipw is not None
    assert ipw.estimate == pytest.approx(float((weights * ordered).mean()), rel=1e-9)
    robust = by["doubly_robust"].gain
    assert robust is not None
    assert robust.ci_lower is not None
    assert robust.ci_lower > 0
    assert found.judged.n_clusters == 2_000


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("arms: {control: 1}\nrules: [{when: {country: FR}, arms: {email: 1}}]\n", "is no trait"),
        ("arms: {mail: 1}\n", "is no arm"),
    ],
)
def test_a_policy_of_other_arms_or_no_traits_is_refused(
    database: Database, tmp_path: Path, policy: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        judge(database, tmp_path, policy)


def test_before_any_window_has_closed_nothing_is_known(database: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody's window has closed"):
        judge(database, tmp_path, "arms: {control: 1}\n")


def test_a_bandit_is_judged_by_the_chances_of_its_versions(shop: Shop, tmp_path: Path) -> None:
    """An arm's plain average moves with the launch; weighted by chances all arms start alike."""
    for day in range(6):
        shop.a_day(n=150, base=0.05 + 0.09 * day)
        shop.learn()
    shop.now += 2 * DAY
    playbook = shop.process.playbook
    (study,) = studies(playbook.program, playbook.workspace)
    path = tmp_path / "policy.yaml"
    path.write_text("arms: {control: 1}\n")

    with shop.process.database.read() as connection:
        found = judge_policy(connection, study, path, as_of=shop.now, experiment=shop.bandit)

    weights = {}
    for profile, variant, probability in shop.rows(
        "SELECT profile_id, variant, probability FROM exposure"
    ):
        weights[profile] = (variant == "control") / probability
    rows = shop.rows("SELECT DISTINCT profile_id FROM event WHERE name = 'Order Completed'")
    ordered = {row[0] for row in rows}
    by_hand = sum(weight for profile, weight in weights.items() if profile in ordered)
    value = next(it.value for it in found.judged.worths if it.method == "ipw")
    assert value is not None
    assert found.judged.positivity.n == len(weights)
    # Variants own whole buckets of 10,000, so a logged chance is its version's but for rounding.
    assert value.estimate == pytest.approx(by_hand / len(weights), rel=2e-3)


def test_a_bandits_versions_are_weighed_by_the_root_of_their_precision(
    shop: Shop, tmp_path: Path
) -> None:
    """Scores, weights and the contrast written out; no rule reads a trait, so nothing is fitted."""
    for day in range(6):
        shop.a_day(n=150, base=0.05 + 0.09 * day)
        shop.learn()
    shop.now += 2 * DAY
    playbook = shop.process.playbook
    (study,) = studies(playbook.program, playbook.workspace)
    arm = study.treatments[0]
    path, other = tmp_path / "policy.yaml", tmp_path / "other.yaml"
    path.write_text(f"arms: {{{arm}: 1}}\n")
    other.write_text("arms: {control: 1}\n")

    with shop.process.database.read() as connection:
        found, against = (
            judge_policy(
                connection, study, path, as_of=shop.now, experiment=shop.bandit, weighing=it
            )
            for it in (Weighing("stable"), Weighing("stable", other))
        )

    learnt = dict(shop.rows("SELECT version, weights FROM bandit_weights"))
    arms = list(study.weights)
    vectors = {0: np.array([study.weights[it] for it in arms], dtype=float)}
    for version, weights in learnt.items():
        kept = json.loads(weights)
        vectors[version] = np.array([kept[it] for it in arms], dtype=float)
    vectors = {version: it / it.sum() for version, it in vectors.items()}
    ordered = {row[0] for row in shop.rows(
        "SELECT DISTINCT profile_id FROM event WHERE name = 'Order Completed'")}  # fmt: skip
    drawn = shop.rows("SELECT profile_id, variant, allocation FROM exposure ORDER BY allocation")
    sides = [arms.index("control"), arms.index(arm)]
    sums, counts, scores, weights_ = np.zeros(len(arms)), np.zeros(len(arms)), [], []
    for version in sorted({it[2] for it in drawn}):
        its = [it for it in drawn if it[2] == version]
        chance = vectors[version]
        overall = sums.sum() / counts.sum() if counts.sum() else 0.0
        guess = np.where(counts > 0, sums / (counts + 1), overall)
        for profile, variant, _ in its:
            score, k = guess.copy(), arms.index(variant)
            score[k] += ((profile in ordered) - guess[k]) / chance[k]
            scores.append(score[sides[1]] - score[sides[0]])
            weights_.append((1 / chance[sides]).sum() ** -0.5)
        for profile, variant, _ in its:
            k = arms.index(variant)
            sums[k] += profile in ordered
            counts[k] += 1
    by_hand = np.average(scores, weights=weights_)
    assert len(learnt) >= 3
    assert found.contrast is not None
    assert found.contrast.gain is not None
    assert found.contrast.gain.estimate == pytest.approx(by_hand, rel=1e-9)
    assert against.contrast is not None
    assert against.contrast.gain == found.contrast.gain
    assert found.contrast.against == "everybody control"


def test_weights_that_never_moved_have_no_versions_to_weigh(
    database: Database, tmp_path: Path
) -> None:
    a_country_each(database, n=200)
    path = tmp_path / "policy.yaml"
    path.write_text("arms: {email: 1}\n")

    with database.read() as connection, pytest.raises(UsageError, match="no versions to weigh"):
        judge_policy(
            connection, a_study(a_metric()), path, as_of=AS_OF, experiment=None,
            weighing=Weighing("stable"),
        )  # fmt: skip
